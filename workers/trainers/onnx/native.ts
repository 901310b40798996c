/**
 * The trainer's own compiled code: native/*.c, which `npm run build` compiles. What ONNX Runtime would do in a pass over
 * memory for every addition, a compiler does in one for a whole formula; and its matrix products can be beaten.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../schema/package.ts";
import koffi from "./foreign.ts";

const path = join(packageRoot(), "dist", "native", "trainer.so");
if (!existsSync(path))
  throw new Error(
    `${path} is missing. It needs a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev), then: npm run build`,
  );

export const native = koffi.load(path);
