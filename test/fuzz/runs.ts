/** How many inputs a fuzz test makes: a few hundred in `npm test`, 10,000 in `npm run test:fuzz`; always the same ones. */
const numRuns = Number(process.env.FUZZ_RUNS ?? 300);

export const FUZZ = {
  numRuns,
  seed: Number(process.env.FUZZ_SEED ?? 20_261_126),
  endOnFailure: true,
  /** Of the test; hangs are found by a limit for each input. */
  timeout: 60_000 + 500 * numRuns,
};
