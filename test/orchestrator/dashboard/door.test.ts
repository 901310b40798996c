/** Who may come in, what a browser is told to refuse, and that no other site can act in a visitor's name. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { gridText, sqliteOf } from "../../support/database.ts";
import { browser, form, openApp } from "./start-app.ts";

const basic = (password: string) => ({
  authorization: `Basic ${Buffer.from(`musweep:${password}`).toString("base64")}`,
});
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const yaml = { "content-type": "application/yaml" };

/** "name=value" of a Set-Cookie header. */
const cookieOf = (response: Response): string => response.headers.get("set-cookie")!.split(";")[0]!;

describe("with a token", () => {
  it("only /healthz and the login with its style are open", async () => {
    const { app, db } = openApp("secret");
    for (const path of [
      "/",
      "/live",
      "/queues",
      "/queues/api/queues",
      "/sweeps/x",
      "/api/sweeps",
      "/nothing",
    ])
      expect([path, (await app.request(path)).status]).toEqual([path, 401]);
    for (const headers of [basic("wrong"), bearer("wrong"), bearer(""), { cookie: "musweep_session=9e15.x" }])
      expect((await app.request("/", { headers })).status).toBe(401);
    const post = { method: "POST", body: gridText(), headers: yaml };
    expect((await app.request("/api/sweeps", post)).status).toBe(401);
    expect(sqliteOf(db).prepare("SELECT count(*) AS n FROM sweeps").get()).toEqual({ n: 0 });
    expect((await app.request("/healthz")).status).toBe(200);
    const login = await app.request("/login");
    expect(login.status).toBe(200);
    const style = /href="([^"]+style\.css)"/.exec(await login.text())![1]!;
    expect((await app.request(style)).headers.get("content-type")).toContain("text/css");
  });

  it("scripts show it in every request, as Bearer or as Basic", async () => {
    const { app } = openApp("secret");
    for (const headers of [basic("secret"), bearer("secret")])
      for (const path of ["/", "/api/sweeps", "/queues"])
        expect((await app.request(path, { headers })).status).toBe(200);
    const other = { authorization: `Basic ${Buffer.from("root:secret").toString("base64")}` };
    expect((await app.request("/", { headers: other })).status).toBe(401);
  });

  it("people log in once and get where they wanted to go", async () => {
    const { app } = openApp("secret");
    const sent = await app.request("/sweeps/x?width=128", { headers: browser });
    expect([sent.status, sent.headers.get("location")]).toEqual([
      303,
      "/login?next=%2Fsweeps%2Fx%3Fwidth%3D128",
    ]);

    const wrong = await app.request("/login", form({ token: "wrong", next: "/sweeps/x" }));
    expect(wrong.status).toBe(401);
    expect(wrong.headers.get("set-cookie")).toBeNull();
    expect(await wrong.text()).toContain("That is not the token");

    const right = await app.request("/login", form({ token: "secret", next: "/sweeps/x?width=128" }));
    expect([right.status, right.headers.get("location")]).toEqual([303, "/sweeps/x?width=128"]);
    const set = right.headers.get("set-cookie")!;
    expect(set).toMatch(/; HttpOnly/);
    expect(set).toMatch(/; SameSite=Strict/);
    expect(set).not.toContain("secret");
    const cookie = cookieOf(right);
    expect((await app.request("/", { headers: { ...browser, cookie } })).status).toBe(200);
    expect((await app.request("/", { headers: { ...browser, cookie: `${cookie}x` } })).status).toBe(303);

    // A later expiry than the signed one, and a cookie of another token, are worth nothing.
    const [name, value] = cookie.split("=") as [string, string];
    const later = `${name}=9${value}`;
    expect((await app.request("/", { headers: { ...browser, cookie: later } })).status).toBe(303);
    expect((await openApp("other").app.request("/", { headers: { ...browser, cookie } })).status).toBe(303);

    const out = await app.request("/logout", form({}, { cookie }));
    expect(out.headers.get("set-cookie")).toMatch(/^musweep_session_[0-9a-f]{8}=; Max-Age=0/);
  });

  it("a login leads to pages of this server only", async () => {
    const { app } = openApp("secret");
    for (const next of [
      "https://evil.example/",
      "//evil.example/",
      "/\\evil.example",
      "/\t/evil.example",
      "javascript:x",
    ])
      expect((await app.request("/login", form({ token: "secret", next }))).headers.get("location")).toBe(
        "/",
      );
  });

  it("after five wrong ones in a minute, no more are looked at", async () => {
    const { app } = openApp("secret");
    for (let i = 0; i < 5; i++)
      expect((await app.request("/api/sweeps", { headers: bearer(`wrong-${i}`) })).status).toBe(401);
    expect((await app.request("/api/sweeps", { headers: bearer("secret") })).status).toBe(429);
    expect((await app.request("/login", form({ token: "secret" }))).status).toBe(429);
  });

  it("that cannot be guessed locks nobody out: all users of a machine have one address", async () => {
    const token = "0123456789abcdef0123456789abcdef";
    const { app } = openApp(token);
    for (let i = 0; i < 20; i++)
      expect((await app.request("/api/sweeps", { headers: bearer(`wrong-${i}`) })).status).toBe(401);
    expect((await app.request("/api/sweeps", { headers: bearer(token) })).status).toBe(200);
    expect((await app.request("/login", form({ token }))).status).toBe(303);
  });
});

describe("without the token", () => {
  it("nobody is answered, by whatever name he has found this machine", async () => {
    const { app } = openApp("secret");
    for (const host of ["127.0.0.1:4242", "localhost:4242", "[::1]:4242", "evil.example:4242"])
      for (const path of ["/", "/sql", "/metrics", "/queues/", "/api/sweeps"])
        expect((await app.request(`http://${host}${path}`)).status).toBe(401);
  });

  it("nothing of a body is read, and no more than a token's length of the login's", async () => {
    const { app } = openApp("secret");
    let pulled = 0;
    const endless = () =>
      new ReadableStream({
        pull(controller) {
          pulled += 1024;
          controller.enqueue(new TextEncoder().encode("x".repeat(1024)));
        },
      });
    const send = async (path: string, headers: Record<string, string>) => {
      const init = { method: "POST", headers, body: endless(), duplex: "half" } as RequestInit;
      return (await app.request(path, init)).status;
    };
    const own = { origin: "http://localhost", "content-type": "application/x-www-form-urlencoded" };
    for (const path of ["/sql", "/sql/csv", "/submit", "/submit/edit", "/sweeps", "/sweeps/x/requeue"])
      expect([path, await send(path, own)]).toEqual([path, 401]);
    expect(await send("/api/sweeps", yaml)).toBe(401);
    expect(pulled).toBeLessThan(50_000);
    expect(await send("/login", own)).toBe(413);
    expect(await send("/login", { ...own, "content-length": "700000000" })).toBe(413);
    expect(pulled).toBeLessThan(100_000);
  });
});

describe("a link that logs in", () => {
  const open = (app: ReturnType<typeof openApp>["app"], ticket: string, init: RequestInit = {}) =>
    app.request(`/login?ticket=${ticket}&next=%2Fsweeps%2Fx`, { headers: browser, ...init });

  it("does so once, and leaves nothing of itself in the address", async () => {
    const { app, tickets } = openApp("secret");
    const ticket = tickets.issue();
    // What looks at links before people do uses none up.
    expect((await open(app, ticket, { method: "HEAD" })).status).toBe(401);
    const response = await open(app, ticket);
    expect([response.status, response.headers.get("location")]).toEqual([303, "/sweeps/x"]);
    const cookie = cookieOf(response);
    expect((await app.request("/", { headers: { ...browser, cookie } })).status).toBe(200);

    const again = await open(app, ticket);
    expect([again.status, again.headers.get("set-cookie")]).toEqual([401, null]);
    expect(await again.text()).toContain("was used already");
    // Who is in already is led on.
    const inside = await open(app, ticket, { headers: { ...browser, cookie } });
    expect([inside.status, inside.headers.get("location")]).toEqual([303, "/sweeps/x"]);
    expect((await open(app, "guessed")).status).toBe(401);
  });

  it("is looked up before the system is asked who comes with it, and stays good for its owner", async () => {
    const { app, tickets } = openApp("secret");
    let asked = 0;
    const socket = {
      get localAddress() {
        asked++;
        return undefined;
      },
    };
    const ask = (ticket: string) =>
      app.request(`/login?ticket=${ticket}`, { headers: browser }, { incoming: { socket } });
    expect((await ask("guessed")).status).toBe(401);
    expect(asked).toBe(0);
    const ticket = tickets.issue();
    expect((await ask(ticket)).status).toBe(401);
    expect(asked).toBe(1);
    expect((await open(app, ticket)).status).toBe(303);
  });

  it("is worth nothing any more after an hour, or after a hundred others", async () => {
    const { app, tickets } = openApp("secret");
    const first = tickets.issue();
    for (let i = 0; i < 100; i++) tickets.issue();
    expect((await open(app, first)).status).toBe(401);
    const old = tickets.issue();
    vi.useFakeTimers({ now: Date.now() + 3_600_001, toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    expect((await open(app, old)).status).toBe(401);
  });
});

it("each musweep of a machine has a cookie of its own, so that logging into one logs out of none", async () => {
  const [one, other] = [openApp("one"), openApp("other")];
  const names = await Promise.all(
    [one, other].map(async ({ app, tickets }) =>
      cookieOf(await app.request(`/login?ticket=${tickets.issue()}`)).replace(/=.*/, ""),
    ),
  );
  expect(new Set(names).size).toBe(2);
});

describe("a form of another site", () => {
  const elsewhere = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };

  it("changes nothing, with or without the visitor's cookie", async () => {
    const { app, db } = openApp("secret");
    const cookie = cookieOf(await app.request("/login", form({ token: "secret" })));
    for (const path of ["/login", "/logout", "/queues/api/queues/musweep-for-musweep/pause"])
      expect([path, (await app.request(path, form({}, { ...elsewhere, cookie }))).status]).toEqual([
        path,
        403,
      ]);
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      const headers = { ...elsewhere, cookie, "content-type": type };
      const response = await app.request("/api/sweeps", { method: "POST", body: gridText(), headers });
      expect([type, response.ok]).toEqual([type, false]);
    }
    expect(sqliteOf(db).prepare("SELECT count(*) AS n FROM sweeps").get()).toEqual({ n: 0 });
  });
});

describe("the content security policy", () => {
  it("lets nothing in but our own files, and no inline script or style", async () => {
    const { app } = openApp();
    for (const path of ["/", "/login", "/nothing-here"]) {
      const response = await app.request(path, { headers: browser });
      const policy = response.headers.get("content-security-policy")!;
      for (const rule of [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
      ])
        expect(policy.split("; ")).toContain(rule);
      expect(policy).not.toContain("unsafe");
      const text = await response.text();
      expect(text).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]* src=)/);
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  it("of bull-board's pages allows inline styles, and no inline script", async () => {
    const { app } = openApp();
    const policy = (await app.request("/queues")).headers.get("content-security-policy")!;
    expect(policy).toContain("style-src 'self' 'unsafe-inline'");
    expect(policy.split("; ")).toContain("script-src 'self'");
  });
});

describe("an address that leads nowhere", () => {
  it("is a page with a way on for people, and JSON for programs", async () => {
    const { app } = openApp();
    const page = await app.request("/<b>nothing</b>", { headers: browser });
    expect(page.status).toBe(404);
    const text = await page.text();
    expect(text).toContain('<a href="/">All sweeps</a>');
    expect(text).not.toContain("<b>");
    expect(await (await app.request("/api/nothing")).json()).toMatchObject({ code: "not-found" });
  });
});
