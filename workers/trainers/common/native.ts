/** The trainer's compiled code, made of the native/ folders. */

import koffi from "koffi";
import { nativeLibrary } from "../../../schema/wire/native-library.ts";

export const native = koffi.load(nativeLibrary());
