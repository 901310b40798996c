/** The trainer's compiled code, made of the native/ folders. */
import { nativeLibrary } from "../../../schema/wire/native-library.ts";
import koffi from "./foreign.ts";

export const native = koffi.load(nativeLibrary());
