/**
 * Loaded into the server before anything else (node --import): writes every SQL statement that a request runs, with its time,
 * as a JSON line to $SQL_TRACE. What the server does by itself is not a request's.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { appendFileSync } from "node:fs";
import { Server } from "node:http";
import { createRequire } from "node:module";

const request = new AsyncLocalStorage();

const { emit } = Server.prototype;
Server.prototype.emit = function (event, ...args) {
  if (event !== "request") return emit.call(this, event, ...args);
  return request.run(args[0].url, () => emit.call(this, event, ...args));
};

const name = Number(process.versions.napi) < 10 ? "better-sqlite3-12" : "better-sqlite3";
const Sqlite = createRequire(import.meta.url)(name);

function timed(sql, work) {
  const url = request.getStore();
  const start = performance.now();
  try {
    return work();
  } finally {
    const ms = performance.now() - start;
    if (url !== undefined) appendFileSync(process.env.SQL_TRACE, `${JSON.stringify({ url, sql, ms })}\n`);
  }
}

const { prepare } = Sqlite.prototype;
Sqlite.prototype.prepare = function (sql) {
  const statement = prepare.call(this, sql);
  for (const method of ["all", "get", "run"]) {
    const own = statement[method];
    statement[method] = (...args) => timed(sql, () => own.apply(statement, args));
  }
  return statement;
};
