/**
 * What a browser with scripts does more: parts of the page follow the database. Everything else is links and forms, and works
 * without this file.
 */
import { Idiomorph } from "./idiomorph.js";

const address = document.body.dataset.live;
if (address !== undefined) follow(address);
document.addEventListener("keydown", sendByKeys);

/** Which tab of a long page is seen, for those who hear it; the style sheet shows it by itself. */
function nameTab() {
  for (const tabbed of document.querySelectorAll(".tabbed")) {
    const parts = [...tabbed.querySelectorAll(":scope > section")];
    const seen = Math.max(
      0,
      parts.findIndex((part) => part.querySelector(":target") !== null),
    );
    [...tabbed.querySelectorAll(":scope > nav > a")].forEach((link, i) => {
      if (i === seen) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }
}
nameTab();
window.addEventListener("hashchange", nameTab);

/** Skipping leaves the address as it is, for it may name a tab. */
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a.skip") : null;
  const target = document.getElementById(link?.getAttribute("href")?.slice(1) ?? "");
  if (target === null) return;
  event.preventDefault();
  target.focus();
});

/**
 * Ctrl or ⌘ with Enter sends the form of a box that says so, as people know it from other consoles.
 * @param {KeyboardEvent} event
 */
function sendByKeys(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const box = event.target;
  if (box instanceof HTMLTextAreaElement && box.dataset.runKeys !== undefined) box.form?.requestSubmit();
}

/**
 * Follows a stream while the page is seen; a hidden page closes it, because browsers allow few connections to one server.
 * @param {string} address
 */
function follow(address) {
  /** @type {EventSource | null} */
  let source = null;
  const open = () => {
    if (source !== null || document.hidden) return;
    source = new EventSource(withHashes(address));
    source.addEventListener("fragment", (event) => replace(JSON.parse(event.data)));
    source.addEventListener("beat", () => say("live"));
    source.addEventListener("error", () => {
      say("lost");
      // A refusal is final; after anything else the browser tries again by itself.
      if (source?.readyState === EventSource.CLOSED) {
        source = null;
        setTimeout(open, 5000);
      }
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else open();
  });
  open();
}

/**
 * What is on the page already need not be sent.
 * @param {string} address
 */
function withHashes(address) {
  const url = new URL(address, location.href);
  /** @type {NodeListOf<HTMLElement>} */
  const parts = document.querySelectorAll("[data-hash]");
  url.searchParams.set("have", Array.from(parts, (part) => `${part.id}:${part.dataset.hash}`).join());
  return url;
}

/**
 * Changes only what differs, so that focus, selection, scrolling and opened details stay as they are.
 * @param {{ id: string, hash: string, html: string }} fragment
 */
function replace({ id, hash, html }) {
  const part = document.getElementById(id);
  if (part === null) return;
  part.dataset.hash = hash;
  Idiomorph.morph(part, html, {
    morphStyle: "innerHTML",
    ignoreActiveValue: true,
    callbacks: {
      /** @type {(name: string, node: Element) => boolean} */
      beforeAttributeUpdated: (name, node) => !(node.tagName === "DETAILS" && name === "open"),
      // What somebody has checked stays so.
      /** @type {(from: Node, to: Node) => boolean} */
      beforeNodeMorphed: (from, to) =>
        !(from instanceof HTMLInputElement && from.type === "checkbox" && from.isEqualNode(to)),
    },
  });
}

/** @param {"live" | "lost"} state */
function say(state) {
  const connection = document.getElementById("connection");
  if (connection === null) return;
  const text = state === "live" ? "Live" : "Connection lost, trying again";
  if (connection.textContent !== text) connection.textContent = text;
  connection.className = `connection ${state}`;
  connection.hidden = false;
}

/** A form that takes a while says so, and is not sent twice. */
for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (
  document.querySelectorAll("form[data-busy]")
)) {
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!(button instanceof HTMLButtonElement) || button.formAction.endsWith("/edit")) return;
    button.dataset.name = button.textContent ?? "";
    button.textContent = form.dataset.busy ?? "";
    // After the browser has read the form.
    setTimeout(() => {
      button.disabled = true;
    });
  });
}
// A page that comes back from the browser's memory is as it was before it was sent.
window.addEventListener("pageshow", () => {
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (
    document.querySelectorAll("button[data-name]")
  )) {
    button.textContent = button.dataset.name ?? "";
    button.disabled = false;
  }
});

/** A choice acts at once; the button is for browsers without scripts. */
for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (
  document.querySelectorAll("form[data-auto]")
)) {
  form.classList.add("auto");
  form.addEventListener("change", () => form.requestSubmit());
  // Choices that choose nothing stay out of the address.
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });
}

/** A dropped or chosen file fills the text field, where it can be read and changed before it is sent. */
const drop = /** @type {HTMLTextAreaElement | null} */ (document.querySelector("textarea[data-drop]"));
if (drop !== null) {
  /** @param {File | undefined} file */
  const fill = async (file) => {
    if (file === undefined) return;
    drop.value = await file.text();
    const name = drop.form?.elements.namedItem("file");
    if (name instanceof HTMLInputElement) name.value = file.name;
    drop.focus();
    drop.setSelectionRange(0, 0);
  };
  drop.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("dropping");
  });
  for (const end of ["dragleave", "drop"])
    drop.addEventListener(end, () => drop.classList.remove("dropping"));
  drop.addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (file === undefined) return;
    event.preventDefault();
    void fill(file);
  });
  const upload = drop.form?.elements.namedItem("upload");
  if (upload instanceof HTMLInputElement)
    upload.addEventListener("change", async () => {
      await fill(upload.files?.[0]);
      // What is sent is the text field.
      upload.value = "";
    });
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("[data-goto]")))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const [line = 1, column = 1] = (link.dataset.goto ?? "").split(":").map(Number);
      goTo(drop, line, column);
    });
}

/**
 * Selects the rest of a line from a column on.
 * @param {HTMLTextAreaElement} field
 * @param {number} line
 * @param {number} column
 */
function goTo(field, line, column) {
  const lines = field.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  field.focus();
  field.setSelectionRange(start + column - 1, start + (lines[line - 1] ?? "").length);
  const height = Number.parseFloat(getComputedStyle(field).lineHeight);
  field.scrollTop = Math.max(0, (line - 4) * height);
}

/** Arrow keys go from run to run in a map. */
document.addEventListener("keydown", (event) => {
  const steps = /** @type {Record<string, [number, number]>} */ ({
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
  });
  const step = steps[event.key];
  const from = document.activeElement;
  const cell = from?.closest(".map td");
  if (step === undefined || from === null || !(cell instanceof HTMLTableCellElement)) return;
  event.preventDefault();
  const seeds = [...cell.children];
  const seed = seeds.indexOf(from);
  const neighbour = seeds[seed + step[1]];
  if (step[1] !== 0 && neighbour instanceof HTMLElement) {
    neighbour.focus();
    return;
  }
  const rows = /** @type {HTMLTableElement} */ (cell.closest("table")).rows;
  let row = /** @type {HTMLTableRowElement} */ (cell.parentElement).rowIndex;
  let column = cell.cellIndex;
  while (true) {
    row += step[0];
    column += step[1];
    const next = rows[row]?.cells[column];
    if (next === undefined || next.tagName !== "TD") return;
    const links = next.children;
    const link =
      links[step[1] === -1 ? links.length - 1 : step[1] === 1 ? 0 : Math.min(seed, links.length - 1)];
    if (link instanceof HTMLElement) {
      link.focus();
      return;
    }
  }
});
