/** The server serves the package's file under this name (assets.ts). */
export { Idiomorph } from "idiomorph";
