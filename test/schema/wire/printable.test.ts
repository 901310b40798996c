/** Text from elsewhere cannot command a terminal. */
import { describe, expect, it } from "vitest";
import { inOneLine, printable, printableTo } from "../../../schema/wire/printable.ts";

describe("printable", () => {
  it.each([
    [
      "renames the window and clears the screen",
      "\u001b]0;owned\u0007\u001b[2J",
      "\\u001b]0;owned\\u0007\\u001b[2J",
    ],
    ["is the same in one byte (C1)", "\u009b2J\u0090x", "\\u009b2J\\u0090x"],
    ["overwrites its own line", "ok\rfailed\b\u007f", "ok\\u000dfailed\\u0008\\u007f"],
    ["reads backwards", "a\u202etxt.exe\u2066\u200f", "a\\u202etxt.exe\\u2066\\u200f"],
    ["is no text", "\ud800 \0", "\\ud800 \\u0000"],
    ["breaks lines in other words", "a\u2028b\u2029c\u0085d", "a\\u2028b\\u2029c\\u0085d"],
  ])("text that %s", (_, text, shown) => {
    expect(printable(text)).toBe(shown);
    expect(inOneLine(text)).toBe(shown);
  });

  it("leaves lines, tabs and every script alone", () => {
    const text = "μP\t2^-8 – é 漢字 🐋\nעברית العربية";
    expect(printable(text)).toBe(text);
    expect(inOneLine(text)).toBe("μP\\u00092^-8 – é 漢字 🐋\\u000aעברית العربية");
  });

  it("leaves JSON what it was", () => {
    const value = { "\u001b[2J": "\u009b\u202e\u0007\n", "\u2028": ["\ud800"] };
    const shown = printable(JSON.stringify(value, null, 2));
    expect(JSON.parse(shown)).toEqual(value);
    expect(shown).not.toMatch(/[\u007f-\u009f\u202e\u2028]/);
  });

  it("is what a log is written through", () => {
    const lines: string[] = [];
    printableTo({ write: (line) => lines.push(line) }).write('{"msg":"\u009b2J"}\n');
    expect(lines).toEqual(['{"msg":"\\u009b2J"}\n']);
  });
});
