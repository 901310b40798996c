/** Calls to Redis wait for a lost server to come back; a page, a scrape, or the end of a process does not. */
const PATIENCE_MS = 2000;

/** Null when it fails or takes too long. */
export function inTime<T>(work: Promise<T>, patienceMs = PATIENCE_MS): Promise<T | null> {
  let timer: NodeJS.Timeout;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), patienceMs);
  });
  return Promise.race([work.catch(() => null), late]).finally(() => clearTimeout(timer));
}
