/**
 * `npm run bench:data -- 'texts/**\/*.txt'`: how fast a source becomes GPT-2's tokens. The same text through the tokenizer's library in
 * one piece after the other, through our words in one thread, and from its files to a data set in all threads. Processor seconds
 * tell what it costs on a busy machine, seconds what it took. Without a pattern: the shipped corpus, six times.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { encode } from "gpt-tokenizer/encoding/r50k_base";
import { matchFiles } from "../orchestrator/data/match-files.ts";
import { prepareData } from "../orchestrator/data/prepare.ts";
import { corpusFiles } from "../orchestrator/data/read-source.ts";
import { loadTokenizer } from "../orchestrator/data/tokenizers.ts";

/** Of the text, for the first two. */
const SAMPLE_BYTES = 20e6;
const PIECE = 1 << 18;

const directory = mkdtempSync(join(tmpdir(), "musweep-bench-data-"));
const settings = { field: "text", tokenizer: "gpt2", validation_fraction: 0.05 } as const;

async function corpusSixTimes(): Promise<string> {
  const files = await corpusFiles("state-of-the-union");
  for (let i = 0; i < 6; i++)
    for (const [j, file] of files.entries())
      writeFileSync(join(directory, `${i}-${j}.txt`), readFileSync(file));
  return join(directory, "*.txt");
}

/** Text from all over the source. */
function sampleOf(files: readonly string[]): string {
  const total = files.reduce((sum, file) => sum + readFileSync(file).length, 0);
  const every = Math.max(1, Math.round(total / SAMPLE_BYTES));
  return files.flatMap((file, i) => (i % every === 0 ? [readFileSync(file, "utf8")] : [])).join("\n");
}

async function measure(name: string, bytes: number, work: () => Promise<number> | number): Promise<number> {
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  const tokens = await work();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const processor = (user + system) / 1e6;
  console.log(
    `${name.padEnd(34)} ${(bytes / 1e6).toFixed(1).padStart(7)} MB ${String(tokens).padStart(11)} tokens  ${(bytes / 1e6 / processor).toFixed(1).padStart(5)} MB per processor second  ${(bytes / 1e6 / seconds).toFixed(1).padStart(5)} MB/s`,
  );
  return bytes / processor;
}

try {
  const pattern = process.argv[2] ?? (await corpusSixTimes());
  const files = await matchFiles({ files: resolve(pattern), ...settings });
  const text = sampleOf(files);
  const bytes = Buffer.byteLength(text);
  const pieces = Array.from({ length: Math.ceil(text.length / PIECE) }, (_, i) =>
    text.slice(i * PIECE, (i + 1) * PIECE),
  );
  console.log(`${cpus()[0]!.model}, ${availableParallelism()} processors, load ${loadavg()[0]!.toFixed(1)}`);
  const ordinary = { disallowedSpecial: new Set<string>() };
  const library = await measure("gpt-tokenizer, one thread", bytes, () =>
    pieces.reduce((sum, piece) => sum + encode(piece, ordinary).length, 0),
  );
  const encoding = await loadTokenizer("gpt2");
  const ours = await measure("by words, one thread", bytes, () =>
    pieces.reduce((sum, piece) => sum + encoding.encode(piece).length, 0),
  );
  const all = files.reduce((sum, file) => sum + readFileSync(file).length, 0);
  await measure("data prepare, all threads", all, async () => {
    const meta = await prepareData(
      { files: resolve(pattern), ...settings },
      { cacheDirectory: join(directory, "cache") },
    );
    return meta.train_tokens + meta.validation_tokens;
  });
  console.log(`by words: ${(ours / library).toFixed(1)} times the library`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
