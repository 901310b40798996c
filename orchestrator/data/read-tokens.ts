/** Token files: ids checked one by one, and the signs of a file that is not what the settings say. */
import { badData } from "./errors.ts";
import { type Bytes, type ReadOptions, readBytes } from "./read-source.ts";
import type { TokenSource } from "./spec.ts";
import { bytesPerToken, type Dtype, type Tokens } from "./write-tokens.ts";

/** So many ids at the beginning of a file are enough to see that they are halves or quarters of larger ones. */
const LOOKED_AT = 4096;
const LEAST_LOOKED_AT = 32;

/** Of the halves or quarters that are 0 in a larger id, so many are: a header or a mask is among them, at most. */
const HIGH_ZEROS = 0.95;
/** Of the others, at most so many: text that is mostly padding has zeros everywhere. */
const LOW_ZEROS = 0.5;

const shareOfZeros = (ids: readonly number[]): number => ids.filter((id) => id === 0).length / ids.length;

/** The first number of llm.c's token files, and how long their header is. */
const LLM_C = { magic: 20_240_520, header_bytes: 1024 };

/** The ids of a token file, each checked against the vocabulary. */
export async function* readTokens(
  file: string,
  spec: TokenSource,
  options: ReadOptions,
): AsyncGenerator<Tokens> {
  const { dtype, vocab_size } = spec;
  const size = bytesPerToken(dtype);
  let header = spec.header_bytes ?? 0;
  let rest: Bytes = new Uint8Array(0);
  let position = 0;
  let isFirst = true;
  for await (const read of readBytes(file, options)) {
    if (isFirst) refuseNumpyHeader(file, read, header);
    isFirst = false;
    const chunk = read.subarray(header);
    header -= read.length - chunk.length;
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const count = Math.floor(bytes.length / size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const idAt = (i: number) =>
      dtype === "uint16" ? view.getUint16(i * size, true) : view.getUint32(i * size, true);
    if (position === 0 && count > 0) checkBeginning(file, dtype, view, Math.min(count, LOOKED_AT), idAt);
    const tokens = dtype === "uint16" ? new Uint16Array(count) : new Uint32Array(count);
    for (let i = 0; i < count; i += 1) {
      const token = idAt(i);
      if (token >= vocab_size) {
        throw badData(
          `${file}: token ${position + i} is ${token}, outside the vocabulary of ${vocab_size}`,
          `The file must hold little-endian ${dtype} ids below vocab_size, after header_bytes of anything else; check vocab_size, dtype and header_bytes.`,
        );
      }
      tokens[i] = token;
    }
    position += count;
    rest = bytes.subarray(count * size);
    yield tokens;
  }
  if (rest.length > 0) {
    throw badData(
      `${file}: ends in the middle of a token (without its header its length is no multiple of ${size} bytes)`,
      `The file must hold ${dtype} ids and nothing else; check dtype and header_bytes.`,
    );
  }
}

/** "\x93NUMPY", a version of two bytes, and the length of what follows it: numpy.lib.format. */
function refuseNumpyHeader(file: string, start: Bytes, passedOver: number): void {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.length);
  if (bytes.length < 12 || bytes.toString("latin1", 0, 6) !== "\x93NUMPY") return;
  const length = bytes[6] === 1 ? 10 + bytes.readUInt16LE(8) : 12 + bytes.readUInt32LE(8);
  if (passedOver === length) return;
  throw badData(
    `${file}: is a file of numpy.save, which begins with a header of ${length} bytes`,
    `Pass it over with header_bytes: ${length} (--header-bytes ${length}).`,
  );
}

/** @throws MusweepError where the first ids show another format than the settings say */
function checkBeginning(
  file: string,
  dtype: Dtype,
  view: DataView,
  count: number,
  idAt: (i: number) => number,
): void {
  if (view.byteLength >= 4 && view.getUint32(0, true) === LLM_C.magic)
    throw badData(
      `${file}: begins with the header of llm.c's token files`,
      `Pass it over with header_bytes: ${LLM_C.header_bytes} (--header-bytes ${LLM_C.header_bytes}).`,
    );
  if (count < LEAST_LOOKED_AT) return;
  const ids = Array.from({ length: count }, (_, i) => idAt(i));
  // At any phase: what is passed over need be no multiple of the ids' true size.
  const isWider = (times: number): boolean =>
    Array.from({ length: times }, (_, phase) => phase).some((phase) => {
      const [low, high] = [
        ids.filter((_, i) => i % times === phase),
        ids.filter((_, i) => i % times !== phase),
      ];
      const zeros = shareOfZeros(high);
      if (phase === 0 && zeros === 1 && shareOfZeros(low) < 1) return true;
      return zeros >= HIGH_ZEROS && shareOfZeros(low) <= LOW_ZEROS;
    });
  const bytes = bytesPerToken(dtype);
  const times = isWider(8 / bytes) ? 8 / bytes : isWider(2) ? 2 : 1;
  if (times === 1) return;
  const bits = 8 * bytes * times;
  throw badData(
    `${file}: ${times === 2 ? "every second id" : "three of four ids"} is 0, so these are ids of ${bits} bits, read as ${dtype}`,
    bits === 32
      ? "Set dtype: uint32 (--dtype uint32)."
      : 'Write them with fewer bits: numpy.fromfile(FILE, "int64").astype("uint16").tofile("train.bin").',
  );
}
