import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes longest begins first: tests of the whole system, which would else be waited for at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification): boolean => moduleId.includes("/test/end-to-end/");
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "test/fuzz/*.fuzz.ts"],
    sequence: { sequencer: LongestFirst },
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // A machine that is busy needs more than the second that is the default; what is there is seen at once all the same.
    expect: { poll: { timeout: 60_000 } },
    // Of two cores: a test of the whole system waits for half of its time, for processes that start, stop or are missed.
    maxWorkers: 4,
  },
});
