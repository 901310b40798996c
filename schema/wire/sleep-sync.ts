/** A pause of the whole thread, where nothing else may happen meanwhile. */
const NEVER = new Int32Array(new SharedArrayBuffer(4));

export const sleepSync = (ms: number): void => void Atomics.wait(NEVER, 0, 0, ms);
