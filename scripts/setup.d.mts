/** Types of what the tests use of setup.mjs. */
export declare const ROOT: string;
export declare function isInstallStale(root: string): boolean;
export declare function hashSources(root: string): string;
