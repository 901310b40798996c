/**
 * Who may come in: whoever shows the token, on this machine too, which others use as well. Scripts show it in every request
 * (Bearer, or Basic as the password of user "musweep"); people once, by a link (keys.ts) or at /login, for a cookie that no
 * other site can make their browser send. Wrong tokens are counted, where they could be guessed, and soon refused unread.
 *
 * Writes are taken from our own pages, or from what is no browser: another site's form cannot send `application/…`, and its
 * other requests carry an origin that is not ours. Nobody's body is read before he is known; that of /login is short.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import type { HttpBindings } from "@hono/node-server";
import type { Hono, MiddlewareHandler, Context as Request } from "hono";
import { bodyLimit } from "hono/body-limit";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { csrf } from "hono/csrf";
import { auth } from "hono/utils/basic-auth";
import { userOfPeer } from "../machine/peer-user.ts";
import { html } from "./html.ts";
import type { Keys } from "./keys.ts";
import { page, SESSION_COOKIE } from "./layout.ts";

const SESSION_SECONDS = 7 * 24 * 3600;

const LOGIN_BYTES = 8 << 10;
/** A token of so many characters is not guessed. Who shares an address, as all users of a machine do, locks nobody out. */
const GUESSED_BELOW = 32;
const WRONG_TOKENS = 5;
const WRONG_SECONDS = 60;
/** Addresses remembered; beyond, all of them are forgotten at once. */
const ADDRESSES = 10_000;

/** Registers the checks; everything that is mounted later lies behind them. */
export function mountDoor(app: Hono, keys: Keys): void {
  app.use("/api/*", refuseForms);
  app.use("*", csrf());
  mountLogin(app, keys);
}

/** Types that a form of any site can send. */
const FORMS = /^(text\/plain|application\/x-www-form-urlencoded|multipart\/form-data)\b/i;

const refuseForms: MiddlewareHandler = async (c, next) => {
  if (isSafe(c) || !FORMS.test(c.req.header("content-type") ?? "text/plain")) return next();
  return c.json({ code: "content-type", message: "send the sweep file as application/yaml" }, 415);
};

const isSafe = (c: Request): boolean => c.req.method === "GET" || c.req.method === "HEAD";

function mountLogin(app: Hono, { token, ownerOnly, tickets }: Keys): void {
  const expected = hash(token);
  // Compared as hashes: alike in length, so that the time taken says nothing.
  const isToken = (given: string): boolean => timingSafeEqual(hash(given), expected);
  // The cookie is signed with what only holders of the token know; a new token ends every session.
  const secret = hash(`session ${token}`).toString("hex");
  // Browsers keep cookies by host alone: each musweep of this machine needs a name of its own.
  const cookie = `${SESSION_COOKIE}${hash(`cookie ${token}`).toString("hex").slice(0, 8)}`;
  const failures = new Failures(token.length < GUESSED_BELOW);

  const isSession = async (c: Request): Promise<boolean> => {
    const expires = await getSignedCookie(c, secret, cookie);
    return typeof expires === "string" && Number(expires) > Date.now() && (!ownerOnly || isOwnUser(c));
  };
  const logIn = async (c: Request, next: unknown): Promise<Response> => {
    await setSignedCookie(c, cookie, String(Date.now() + SESSION_SECONDS * 1000), secret, {
      httpOnly: true,
      sameSite: "Strict",
      path: "/",
      maxAge: SESSION_SECONDS,
      secure: new URL(c.req.url).protocol === "https:",
    });
    return c.redirect(ownPath(next), 303);
  };

  app.get("/login", async (c) => {
    const { ticket, next } = c.req.query();
    if (ticket === undefined) return c.html(loginPage(c));
    // Who asks is looked up only for a ticket that is good: strangers must not make this work.
    const isGood = c.req.method === "GET" && tickets.isGood(ticket) && isOwnUser(c);
    if (isGood && tickets.use(ticket)) return logIn(c, next);
    if (await isSession(c)) return c.redirect(ownPath(next), 303);
    return c.html(
      loginPage(c, "That link was used already, is more than an hour old, or is another user's."),
      401,
    );
  });
  app.post("/login", bodyLimit({ maxSize: LOGIN_BYTES }), async (c) => {
    // Whatever cannot be read holds no token.
    const form = await c.req.parseBody().catch((): Record<string, unknown> => ({}));
    const address = addressOf(c);
    if (failures.tooMany(address)) return c.html(loginPage(c, TOO_MANY), 429);
    if (typeof form.token === "string" && isToken(form.token)) {
      if (!ownerOnly || isOwnUser(c)) return logIn(c, form.next);
      return c.html(loginPage(c, OTHER_USER), 403);
    }
    failures.add(address);
    return c.html(loginPage(c, "That is not the token."), 401);
  });
  app.post("/logout", (c) => {
    deleteCookie(c, cookie, { path: "/" });
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

/** Asked without a socket, as tests do, there is none. */
const socketOf = (c: Request): Socket | undefined =>
  (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket;

/** Who is asking, as far as can be told: behind a proxy everybody is the proxy. */
const addressOf = (c: Request): string => socketOf(c)?.remoteAddress ?? "";

const ownSockets = new WeakMap<Socket, boolean>();

/**
 * Whether this user, or root, is asking, or it cannot be told. A link that a browser was started with can be seen, and tried, by
 * other users of the machine.
 */
function isOwnUser(c: Request): boolean {
  const socket = socketOf(c);
  if (socket === undefined) return true;
  const known = ownSockets.get(socket);
  if (known !== undefined) return known;
  const user = userOfPeer(socket);
  const { SUDO_UID } = process.env;
  const own =
    user === undefined ||
    (user !== null && [0, process.geteuid?.(), SUDO_UID && Number(SUDO_UID)].includes(user));
  ownSockets.set(socket, own);
  return own;
}

/** Only a path of this server: what a link says may lead nowhere else. */
const ownPath = (next: unknown): string =>
  typeof next === "string" && /^\/(?![/\\])/.test(next) && !/[\p{Cc}\\]/u.test(next) ? next : "/";

const TOO_MANY = "Too many wrong tokens: wait a minute.";
const OTHER_USER =
  "That is the token, but people log in as the user who started musweep. Start it with MUSWEEP_TOKEN or --token-file to let others in.";

/** Wrong tokens of the last minute, by address. */
class Failures {
  readonly #counts = new Map<string, { count: number; until: number }>();
  readonly #counting: boolean;

  constructor(counting: boolean) {
    this.#counting = counting;
  }

  tooMany(address: string): boolean {
    const found = this.#counts.get(address);
    return found !== undefined && found.until > Date.now() && found.count >= WRONG_TOKENS;
  }

  add(address: string): void {
    if (!this.#counting) return;
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
      <p>This server asks for its token: what the file <code>token</code> in its state directory holds, unless it was started
      with <code>MUSWEEP_TOKEN</code> or <code>--token-file</code>. The link that it printed when it started logs in too.</p>
      <input type="hidden" name="next" value="${ownPath(c.req.query("next"))}">
      <label for="token">Token</label>
      <input id="token" name="token" type="password" autocomplete="current-password" required autofocus
        ${problem === undefined ? "" : html`aria-describedby="problem" aria-invalid="true"`}>
      ${problem === undefined ? "" : html`<p id="problem" class="problem" role="alert">${problem}</p>`}
      <button class="primary">Log in</button>
    </form>`,
  });
