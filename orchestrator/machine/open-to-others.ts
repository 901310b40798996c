/** Whether other users of this machine decide what a file says or does: looked at before this user runs what is in it. */
import { readFileSync, type Stats } from "node:fs";
import { userInfo } from "node:os";

type Ownership = Pick<Stats, "uid" | "gid" | "mode">;

const BY_GROUP = 0o020;
const BY_ALL = 0o002;
const STICKY = 0o1000;

/** @returns why, as a sentence goes on after the path; undefined where this user and root alone write it */
export function openToOthers({ uid, gid, mode }: Ownership): string | undefined {
  const own = process.geteuid?.() ?? uid;
  if (uid !== own && uid !== 0) return "belongs to another user";
  const isOpen = (mode & BY_ALL) !== 0 || ((mode & BY_GROUP) !== 0 && !isOwnGroup(gid));
  return isOpen ? "can be written by other users of this machine" : undefined;
}

/** Of a directory that holds a file: in one like /tmp, which is sticky, nobody replaces what belongs to somebody else. */
export const holderOpenToOthers = ({ uid, gid, mode }: Ownership): string | undefined =>
  openToOthers({ uid, gid, mode: (mode & STICKY) === 0 ? mode : 0 });

/** Where every user has a group of his own, as on Ubuntu, his files are writable by it, which is by nobody else. */
function isOwnGroup(gid: number): boolean {
  if (gid !== process.getegid?.()) return false;
  try {
    const { username } = userInfo();
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((entry) => entry.split(":")[2] === String(gid));
    const [name, , , members = ""] = line?.split(":") ?? [];
    return name === username && (members === "" || members === username);
  } catch {
    return false;
  }
}
