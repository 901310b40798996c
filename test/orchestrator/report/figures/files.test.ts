/** What `musweep report` writes: files that other programs read. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { describe, expect, test } from "vitest";
import { csv } from "../../../../orchestrator/report/figures/csv.ts";
import { readFigureData } from "../../../../orchestrator/report/figures/data.ts";
import { renderPng } from "../../../../orchestrator/report/figures/png.ts";
import { writeReport } from "../../../../orchestrator/report/figures/write-report.ts";
import { freshDatabase, sqliteOf, submitText } from "../../../support/database.ts";
import { scratch } from "../../../support/scratch.ts";
import { mixedDatabase } from "./fixture.ts";
import { parseXml } from "./parse.ts";

/** Width and height from the header chunk (PNG specification, 11.2.2). */
function pngSize(png: Uint8Array): [number, number] {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  expect([...png.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return [view.getUint32(16), view.getUint32(20)];
}

const read = (directory: string, name: string): Record<string, string>[] =>
  parse(readFileSync(join(directory, name)), { columns: true, relaxColumnCount: false }) as Record<
    string,
    string
  >[];

test("all targets at once: the files it names are the files there are, pictures in twice the SVG's pixels", async () => {
  const { directory } = scratch();
  const at = (name: string) => join(directory, "deep", name);
  const { files, notes } = await writeReport(readFigureData(mixedDatabase(), "mixed"), {
    html: at("report.html"),
    svg: at("figures"),
    png: at("figures"),
    csv: at("tables"),
  });
  expect(notes).toEqual([]);
  expect(files.every((file) => existsSync(file))).toBe(true);
  const names = ["figures", "tables"].flatMap((d) => readdirSync(at(d)).map((n) => at(join(d, n))));
  expect([...files].sort()).toEqual([at("report.html"), ...names].sort());
  for (const name of ["curves", "optimum-by-sparsity"]) {
    const [svg] = parseXml(readFileSync(at(`figures/${name}.svg`), "utf8"));
    const size = pngSize(readFileSync(at(`figures/${name}.png`)));
    expect(size[0]).toBe(Math.round(2 * Number(svg!.attributes.width)));
    expect(Math.abs(size[1] - 2 * Number(svg!.attributes.height))).toBeLessThanOrEqual(1);
  }
});

test("a place that cannot be written is named", async () => {
  const { directory } = scratch();
  writeFileSync(join(directory, "taken"), "");
  await expect(
    writeReport(readFigureData(mixedDatabase(), "mixed"), { csv: join(directory, "taken") }),
  ).rejects.toMatchObject({
    code: "report-file",
    message: expect.stringContaining(join("taken", "curves.csv")),
  });
});

test("pictures have text without any font of the system, also the signs of the axes", async () => {
  const picture = (content: string) =>
    renderPng(
      `<svg xmlns="http://www.w3.org/2000/svg" width="60" height="30"><text x="5" y="20" font-family="Helvetica, sans-serif">${content}</text></svg>`,
    );
  const blank = await picture("");
  // A sign that the font lacks is drawn as this empty box.
  const box = await picture("\u{10fffd}");
  const pictures = await Promise.all([..."μ≥≤−·₂1"].map(picture));
  for (const png of pictures) {
    expect(Buffer.compare(png, blank)).not.toBe(0);
    expect(Buffer.compare(png, box)).not.toBe(0);
  }
  expect(new Set(pictures.map((png) => Buffer.from(png).toString("base64"))).size).toBe(7);
});

describe("CSV", () => {
  test("of a random search, which has no curves, has the headings of one that has", async () => {
    const { directory } = scratch();
    const db = freshDatabase();
    submitText(
      db,
      `name: drawn
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 32, sequence_length: 32 }
training: { steps: 20, batch_size: 2 }
base: { width: 64 }
axes: { parameterization: [mup], random: { n: 2, distributions: { learning_rate: { log_uniform: { from: 0.001, to: 0.1 } } } } }
`,
    );
    await writeReport(readFigureData(db, "drawn"), { csv: join(directory, "drawn") });
    await writeReport(readFigureData(mixedDatabase(), "mixed"), { csv: join(directory, "mixed") });
    for (const name of readdirSync(join(directory, "drawn"))) {
      const names = (of: string) =>
        readFileSync(join(directory, of, name), "utf8")
          .split("\r\n", 1)[0]!
          .split(",");
      expect([name, names("drawn").toSorted()]).toEqual([name, names("mixed").toSorted()]);
    }
  });

  test("any field comes back as it went in", () => {
    const rows = [
      { "a,b": 'say "no"', plain: "line\r\nbreak", number: 0.1 + 0.2 },
      { "a,b": "", plain: " spaced ", number: -1e-300 },
      { "a,b": "μ", plain: ",", number: 5 },
    ];
    const source = csv(rows);
    expect(source.startsWith('"a,b",plain,number\r\n')).toBe(true);
    const back = parse(source, { columns: true, record_delimiter: "\r\n" }) as Record<string, string>[];
    expect(back.map((row) => ({ ...row, number: Number(row.number) }))).toEqual(rows);
  });

  test.each([
    ['x;=HYPERLINK("http://x");y', `"x;'=HYPERLINK(""http://x"");y"`],
    ["a, @SUM(A1)", `"a, '@SUM(A1)"`],
    ['a;""=1+1', `"a;""""'=1+1"`],
    ["a\t-2+3", `"a\t'-2+3"`],
    ["a\r\n\uff1d1", `"a\r\n'\uff1d1"`],
    ["-2;=1", `"'-2;'=1"`],
    ["a=b-c; d+e", '"a=b-c; d+e"'],
    ["a;b", '"a;b"'],
    ["[-8,-7.5,-1e-3]", '"[-8,-7.5,-1e-3]"'],
    ["-8; -7", '"-8; -7"'],
    ["-inf", "-inf"],
  ])("no spreadsheet runs a part of a field, whatever it takes for a separator: %j", (text, written) => {
    expect(csv([{ x: text }])).toBe(`x\r\n${written}\r\n`);
  });

  test("the files hold what the views hold", async () => {
    const { directory } = scratch();
    const db = mixedDatabase();
    const data = readFigureData(db, "mixed");
    await writeReport(data, { csv: directory });
    const stored = <T>(sql: string) => sqliteOf(db).prepare<[], T>(sql).all();
    const number = (text: string | undefined): number | null => (text === "" ? null : Number(text));
    const key = (row: Record<string, unknown>) =>
      [row.parameterization, row.sparsity, row.log2_lr].map(String).join(" ");

    const curves = new Map(read(directory, "curves.csv").map((row) => [key(row), row]));
    const view = stored<Record<string, number | string | null>>("SELECT * FROM curves");
    expect(curves.size).toBe(view.length);
    for (const row of view) {
      const written = curves.get(key(row))!;
      for (const name of ["finished", "diverged", "width", "layers", "min_loss", "max_loss"])
        expect(number(written[name])).toBe(row[name]);
      for (const name of ["mean_loss", "sd_loss"])
        if (row[name] === null) expect(written[name]).toBe("");
        else expect(number(written[name])).toBeCloseTo(row[name] as number, 6);
    }

    const optima = read(directory, "optima.csv");
    const optimaView = stored<Record<string, number | string | null>>("SELECT * FROM optima");
    expect(optima).toHaveLength(9);
    for (const row of optima) {
      const same = optimaView.find(
        (o) => o.parameterization === row.parameterization && o.sparsity === Number(row.sparsity),
      )!;
      expect(row.flag).toBe(same.flag);
      for (const [name, value] of Object.entries(same))
        if (typeof value === "number" || value === null) expect(number(row[name])).toBe(value);
    }

    for (const name of ["transfer", "exponents", "level"]) {
      const written = read(directory, `${name}.csv`);
      const inView = stored<Record<string, number | string | null>>(`SELECT * FROM ${name}`);
      expect(written).toHaveLength(inView.length);
      for (const row of written) {
        const same = inView.find(
          (v) => v.curve === row.curve && v.parameterization === row.parameterization,
        )!;
        for (const [column, value] of Object.entries(same))
          expect(typeof value === "string" ? row[column] : number(row[column])).toBe(value);
      }
    }

    const transfer = read(directory, "transfer.csv");
    expect(transfer.map((row) => number(row.drift))).toEqual(
      data.answer.rows.flatMap((row) => (row.drift === null ? [] : [row.drift.estimate])),
    );
    for (const row of transfer) {
      const own = optima.find(
        (o) => o.parameterization === row.parameterization && o.sparsity === row.sparsity,
      )!;
      const dense = optima.find((o) => o.parameterization === row.parameterization && o.sparsity === "0")!;
      expect(row.base_sparsity).toBe("0");
      // Of the joint fit, which moves either optimum a little.
      if (own.flag === "bracketed" && dense.flag === "bracketed")
        expect(Math.abs(number(row.drift)! - (Number(own.log2_lr) - Number(dense.log2_lr)))).toBeLessThan(
          0.2,
        );
      else expect(row.drift).toBe("");
    }
  });
});
