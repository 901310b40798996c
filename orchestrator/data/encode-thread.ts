/** A thread that encodes pieces of text (encode-pieces.ts), one message after the other. */
import { parentPort } from "node:worker_threads";
import type { EncodedPieces, PiecesToEncode } from "./encode-pieces.ts";
import { loadTokenizer } from "./tokenizers.ts";

const { encode } = await loadTokenizer("gpt2");

function answer({ pieces }: PiecesToEncode): EncodedPieces {
  try {
    return { tokens: pieces.map(encode) };
  } catch (error) {
    return { error };
  }
}

parentPort!.on("message", (question: PiecesToEncode) => {
  const encoded = answer(question);
  parentPort!.postMessage(
    encoded,
    (encoded.tokens ?? []).map(({ buffer }) => buffer as ArrayBuffer),
  );
});
