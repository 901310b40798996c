import { expect, it } from "vitest";
import { systemName } from "../../../schema/wire/system-name.ts";
import { onLinux } from "../../support/tested-where.ts";

it.runIf(onLinux("the name of a system's C library"))("says the C library that Node runs with", () => {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  const libc = header.glibcVersionRuntime === undefined ? "musl" : `glibc${header.glibcVersionRuntime}`;
  expect(systemName()).toBe(`linux-${process.arch}-${libc}`);
});
