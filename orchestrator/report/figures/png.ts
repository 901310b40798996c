/**
 * SVG to PNG by resvg, compiled to WebAssembly: no native binding, no browser, no fonts of the system. The text is set in
 * DejaVu Sans, which comes with the package and has every sign the figures use.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { initWasm, Resvg } from "@resvg/resvg-wasm";

const require = createRequire(import.meta.url);

/** Loaded once, on the first picture. */
let ready: Promise<Uint8Array[]> | undefined;

async function load(): Promise<Uint8Array[]> {
  await initWasm(readFileSync(require.resolve("@resvg/resvg-wasm/index_bg.wasm")));
  return [
    require.resolve("@fontsource/dejavu-sans/files/dejavu-sans-latin-400-normal.woff2"),
    require.resolve("@fontsource/dejavu-sans/files/dejavu-sans-latin-700-normal.woff2"),
  ].map((font) => readFileSync(font));
}

/** @param scale pixels of the picture per pixel of the SVG; 2 is about 190 dpi at the width of a page */
export async function renderPng(svg: string, scale = 2): Promise<Uint8Array> {
  ready ??= load();
  const fontBuffers = await ready;
  const resvg = new Resvg(svg, {
    fitTo: { mode: "zoom", value: scale },
    background: "#ffffff",
    font: { fontBuffers, defaultFontFamily: "DejaVu Sans", sansSerifFamily: "DejaVu Sans" },
  });
  try {
    return resvg.render().asPng();
  } finally {
    resvg.free();
  }
}
