/**
 * Who may come in. Without a token only this machine, by its own names: a page whose name was pointed at 127.0.0.1 may not.
 * With one, whoever shows it: scripts in every request (Bearer, or Basic as the password of user "musweep"), people once, at
 * /login, for a cookie that no other site can make their browser send. Wrong tokens are counted and soon refused unread.
 *
 * Writes are taken from our own pages, or from what is no browser: another site's form cannot send `application/…`, and its
 * other requests carry an origin that is not ours.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { getConnInfo } from "@hono/node-server/conninfo";
import type { Hono, MiddlewareHandler, Context as Request } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { csrf } from "hono/csrf";
import { auth } from "hono/utils/basic-auth";
import { html } from "./html.ts";
import { page } from "./layout.ts";

/** As URLs write them. */
const LOOPBACK_NAMES = new Set(["127.0.0.1", "localhost", "[::1]"]);

const COOKIE = "musweep_session";
const SESSION_SECONDS = 7 * 24 * 3600;

const WRONG_TOKENS = 5;
const WRONG_SECONDS = 60;
/** Addresses remembered; beyond, all of them are forgotten at once. */
const ADDRESSES = 10_000;

/** Registers the checks; everything that is mounted later lies behind them. */
export function mountDoor(app: Hono, token: string | undefined): void {
  app.use("/api/*", refuseForms);
  app.use("*", csrf());
  if (token === undefined) app.use("*", onlyThisMachine);
  else mountLogin(app, token);
}

/** Types that a form of any site can send. */
const FORMS = /^(text\/plain|application\/x-www-form-urlencoded|multipart\/form-data)\b/i;

const refuseForms: MiddlewareHandler = async (c, next) => {
  if (isSafe(c) || !FORMS.test(c.req.header("content-type") ?? "text/plain")) return next();
  return c.json({ code: "content-type", message: "send the sweep file as application/yaml" }, 415);
};

const isSafe = (c: Request): boolean => c.req.method === "GET" || c.req.method === "HEAD";

const onlyThisMachine: MiddlewareHandler = async (c, next) => {
  const { hostname } = new URL(c.req.url);
  if (LOOPBACK_NAMES.has(hostname)) return next();
  return c.text("musweep answers to 127.0.0.1 and localhost only", 403);
};

function mountLogin(app: Hono, token: string): void {
  const expected = hash(token);
  // Compared as hashes: alike in length, so that the time taken says nothing.
  const isToken = (given: string): boolean => timingSafeEqual(hash(given), expected);
  // The cookie is signed with what only holders of the token know; a new token ends every session.
  const secret = hash(`session ${token}`).toString("hex");
  const failures = new Failures();

  const isSession = async (c: Request): Promise<boolean> => {
    const expires = await getSignedCookie(c, secret, COOKIE);
    return typeof expires === "string" && Number(expires) > Date.now();
  };

  app.get("/login", (c) => c.html(loginPage(c)));
  app.post("/login", async (c) => {
    const form = await c.req.parseBody();
    const address = addressOf(c);
    if (failures.tooMany(address)) return c.html(loginPage(c, TOO_MANY), 429);
    if (typeof form.token !== "string" || !isToken(form.token)) {
      failures.add(address);
      return c.html(loginPage(c, "That is not the token."), 401);
    }
    const expires = Date.now() + SESSION_SECONDS * 1000;
    await setSignedCookie(c, COOKIE, String(expires), secret, {
      httpOnly: true,
      sameSite: "Strict",
      path: "/",
      maxAge: SESSION_SECONDS,
      secure: new URL(c.req.url).protocol === "https:",
    });
    return c.redirect(ownPath(form.next), 303);
  });
  app.post("/logout", (c) => {
    deleteCookie(c, COOKIE, { path: "/" });
    return c.redirect("/login", 303);
  });

  app.use("*", async (c, next) => {
    if (await isSession(c)) return next();
    const address = addressOf(c);
    const given = tokenOf(c);
    if (given !== undefined) {
      if (failures.tooMany(address)) return c.json({ code: "too-many", message: TOO_MANY }, 429);
      if (isToken(given)) return next();
      failures.add(address);
    } else if (isSafe(c) && c.req.header("accept")?.includes("text/html")) {
      const { pathname, search } = new URL(c.req.url);
      return c.redirect(`/login?next=${encodeURIComponent(pathname + search)}`, 303);
    }
    c.header("www-authenticate", 'Bearer realm="musweep"');
    return c.json({ code: "token", message: "musweep asks for its token" }, 401);
  });
}

const hash = (text: string): Buffer => createHash("sha256").update(text).digest();

function tokenOf(c: Request): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header("authorization") ?? "")?.[1];
  if (bearer !== undefined) return bearer;
  const basic = auth(c.req.raw);
  return basic?.username === "musweep" ? basic.password : undefined;
}

/** Who is asking, as far as can be told: behind a proxy everybody is the proxy. */
function addressOf(c: Request): string {
  try {
    return getConnInfo(c).remote.address ?? "";
  } catch {
    // Asked without a socket.
    return "";
  }
}

/** Only a path of this server: what a link says may lead nowhere else. */
const ownPath = (next: unknown): string =>
  typeof next === "string" && /^\/(?![/\\])/.test(next) && !/[\p{Cc}\\]/u.test(next) ? next : "/";

const TOO_MANY = "Too many wrong tokens: wait a minute.";

/** Wrong tokens of the last minute, by address. */
class Failures {
  readonly #counts = new Map<string, { count: number; until: number }>();

  tooMany(address: string): boolean {
    const found = this.#counts.get(address);
    return found !== undefined && found.until > Date.now() && found.count >= WRONG_TOKENS;
  }

  add(address: string): void {
    const now = Date.now();
    const found = this.#counts.get(address);
    if (found !== undefined && found.until > now) {
      found.count++;
      return;
    }
    if (this.#counts.size >= ADDRESSES) this.#counts.clear();
    this.#counts.set(address, { count: 1, until: now + WRONG_SECONDS * 1000 });
  }
}

const loginPage = (c: Request, problem?: string) =>
  page(c, {
    title: "Log in",
    bare: true,
    body: html`<form method="post" action="/login" class="card login">
      <h1>musweep</h1>
      <p>This server asks for its token: the value of <code>MUSWEEP_TOKEN</code>, or of <code>--token</code>, where
      <code>musweep serve</code> was started.</p>
      <input type="hidden" name="next" value="${c.req.query("next") ?? "/"}">
      <label for="token">Token</label>
      <input id="token" name="token" type="password" autocomplete="current-password" required autofocus
        ${problem === undefined ? "" : html`aria-describedby="problem" aria-invalid="true"`}>
      ${problem === undefined ? "" : html`<p id="problem" class="problem" role="alert">${problem}</p>`}
      <button class="primary">Log in</button>
    </form>`,
  });
