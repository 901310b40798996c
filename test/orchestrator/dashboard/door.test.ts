/** Who may come in, what a browser is told to refuse, and that no other site can act in a visitor's name. */
import { describe, expect, it } from "vitest";
import { gridText } from "../../support/database.ts";
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
    expect(db.sqlite.prepare("SELECT count(*) AS n FROM sweeps").get()).toEqual({ n: 0 });
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
    expect(out.headers.get("set-cookie")).toMatch(/^musweep_session=; Max-Age=0/);
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
});

describe("without a token", () => {
  it("only this machine's own names are answered", async () => {
    const { app } = openApp();
    for (const host of ["127.0.0.1:4242", "localhost:4242", "[::1]:4242"])
      expect((await app.request(`http://${host}/`)).status).toBe(200);
    for (const host of ["evil.example:4242", "127.0.0.1.evil.example"])
      expect((await app.request(`http://${host}/`)).status).toBe(403);
  });
});

describe("a form of another site", () => {
  const elsewhere = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };

  it("changes nothing, with or without the visitor's cookie", async () => {
    const { app, db } = openApp("secret");
    const cookie = cookieOf(await app.request("/login", form({ token: "secret" })));
    for (const path of ["/login", "/logout", "/queues/api/queues/musweep-cpu/pause"])
      expect([path, (await app.request(path, form({}, { ...elsewhere, cookie }))).status]).toEqual([
        path,
        403,
      ]);
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      const headers = { ...elsewhere, cookie, "content-type": type };
      const response = await app.request("/api/sweeps", { method: "POST", body: gridText(), headers });
      expect([type, response.ok]).toEqual([type, false]);
    }
    expect(db.sqlite.prepare("SELECT count(*) AS n FROM sweeps").get()).toEqual({ n: 0 });
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
