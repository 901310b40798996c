/**
 * What a browser with scripts does more: parts of the page follow the database. Everything else is links and forms, and works
 * without this file.
 */
import { Idiomorph } from "./idiomorph.js";

const address = document.body.dataset.live;
if (address !== undefined) follow(address);

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
