/** Types of what the tests use of complete-lockfile.mjs. */
export interface LockEntry {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  dev?: boolean;
  license?: string;
  optionalDependencies?: Record<string, string>;
}
export declare function missingEntries(lock: {
  packages: Record<string, LockEntry>;
}): Record<string, LockEntry>;
