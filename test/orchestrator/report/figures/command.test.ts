/** `musweep report` with files: data on standard output, what was written on standard error. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { expect, test, vi } from "vitest";
import { addReport } from "../../../../orchestrator/commands/report.ts";
import { mixedDatabase } from "./fixture.ts";

test("targets combine with --json, and every file written is said", async () => {
  const dir = dirname(mixedDatabase().path);
  const output = { stdout: "", stderr: "" };
  const catching = (name: "stdout" | "stderr") =>
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      output[name] += String(text);
      return true;
    });
  const spies = [catching("stdout"), catching("stderr")];
  try {
    const program = new Command();
    addReport(program);
    const html = join(dir, "report.html");
    await program.parseAsync(["report", "mixed", "--dir", dir, "--json", "--html", html, "--csv", dir], {
      from: "user",
    });
    expect(readFileSync(html, "utf8")).toMatch(/^<!DOCTYPE html>/);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  expect((JSON.parse(output.stdout) as { rows: unknown[] }).rows).toHaveLength(9);
  expect(output.stderr.trim().split("\n")).toEqual(
    ["report.html", "curves.csv", "optima.csv", "transfer.csv", "exponents.csv", "level.csv"].map(
      (name) => `wrote ${join(dir, name)}`,
    ),
  );
});
