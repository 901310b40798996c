/** Opens an address in the user's browser, where there is a screen to show it on. */
import { spawn } from "node:child_process";
import { platform } from "node:os";
import { findProgram } from "./find-server.ts";

/** Whether it was tried. What the browser does then is its own affair. */
export async function openBrowser(url: string): Promise<boolean> {
  const isMac = platform() === "darwin";
  if (!isMac && !process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) return false;
  const program = await findProgram(isMac ? "open" : "xdg-open");
  if (program === undefined) return false;
  spawn(program, [url], { detached: true, stdio: "ignore" })
    .on("error", () => undefined)
    .unref();
  return true;
}
