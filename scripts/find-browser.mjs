/** Finds a Chromium or Chrome on this machine: $CHROMIUM, else the usual names and places. Plain Node, no dependencies. */
import { existsSync } from "node:fs";
import path from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PLACES = [
  "/usr/bin",
  "/usr/local/bin",
  "/snap/bin",
  "/Applications/Chromium.app/Contents/MacOS",
  "/Applications/Google Chrome.app/Contents/MacOS",
];
const MAC_NAMES = ["Chromium", "Google Chrome"];

/** @returns the path of the program, or undefined */
export function findBrowser() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const directories = [...(process.env.PATH ?? "").split(path.delimiter), ...PLACES];
  return directories
    .filter((directory) => directory !== "")
    .flatMap((directory) => [...NAMES, ...MAC_NAMES].map((name) => path.join(directory, name)))
    .find((file) => existsSync(file));
}
