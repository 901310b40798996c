/** Which Python, which devices, how many slots: what a worker's options come to, with programs that answer as a Python would. */
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { needsMetBy, resolveTrainers } from "../../../orchestrator/commands/worker-trainer.ts";
import { findTorch } from "../../../orchestrator/machine/find-python.ts";
import { slotsOf } from "../../../schema/wire/worker.ts";
import { asRoot } from "../../support/tested-where.ts";
import { EMBEDDED } from "../../support/worker-config.ts";

const gpu = (device: string) => ({ device, name: "NVIDIA H100", memory_bytes: 85e9 });
const USABLE = {
  python: "3.12.3",
  torch: "2.11.0",
  devices: [gpu("cuda:0"), gpu("cuda:1")],
  uncompiled: null,
  problem: null,
};

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "musweep-python-")));
  vi.stubEnv("MUSWEEP_PYTHON", undefined);
  const cwd = process.cwd();
  process.chdir(directory);
  onTestFinished(() => {
    process.chdir(cwd);
    vi.unstubAllEnvs();
    rmSync(directory, { recursive: true, force: true });
  });
});

/** A program that prints this when it is asked what it has, and fails unless it is asked properly. */
function program(path: string, says: object | string): string {
  const file = join(directory, path);
  mkdirSync(join(file, ".."), { recursive: true });
  const text = typeof says === "string" ? says : `echo '${JSON.stringify({ engine: "x", ...says })}'`;
  writeFileSync(
    file,
    `#!/bin/sh\n[ "$*" = "-m musweep_torch --probe" ] && [ -d "$PYTHONPATH/musweep_torch" ] || exit 9\n${text}\n`,
  );
  chmodSync(file, 0o755);
  return file;
}
const options = { trainer: ["torch"] };

describe("the Python for the trainer in PyTorch", () => {
  it("is the one that --python names, else $MUSWEEP_PYTHON, else .venv, else python3", async () => {
    const [named, fromEnvironment] = [program("a/python", USABLE), program("b/python", USABLE)];
    program(".venv/bin/python", USABLE);
    const onPath = program("bin/python3", USABLE);
    vi.stubEnv("PATH", join(directory, "bin"));
    const pythonOf = async (python?: string) => {
      const { trainers } = await resolveTrainers(python === undefined ? options : { ...options, python });
      const { start } = trainers[0]!;
      return typeof start === "object" && "python" in start ? start.python : start;
    };
    vi.stubEnv("MUSWEEP_PYTHON", fromEnvironment);
    expect(await pythonOf(named)).toBe(named);
    expect(await pythonOf()).toBe(fromEnvironment);
    vi.stubEnv("MUSWEEP_PYTHON", undefined);
    expect(await pythonOf()).toBe(join(".venv", "bin", "python"));
    rmSync(join(directory, ".venv"), { recursive: true });
    expect(await pythonOf()).toBe(onPath);
  });

  it("passes over one that lacks something, and says why where none is left", async () => {
    program(".venv/bin/python", {
      ...USABLE,
      torch: "2.5.1",
      problem: "torch 2.5.1 is too old: 2.6 or newer.",
    });
    program("bin/python3", USABLE);
    vi.stubEnv("PATH", join(directory, "bin"));
    expect(await findTorch(undefined)).toMatchObject({
      found: { path: join(directory, "bin", "python3"), torch: "2.11.0", python: "3.12.3" },
      unusable: [{ path: join(".venv", "bin", "python"), problem: "torch 2.5.1 is too old: 2.6 or newer." }],
    });
    const missing = "torch cannot be imported: No module named 'torch'.".replaceAll("'", "");
    program("bin/python3", {
      python: "3.12.3",
      torch: null,
      devices: [],
      uncompiled: null,
      problem: missing,
    });
    await expect(resolveTrainers(options)).rejects.toMatchObject({
      code: "no-torch",
      kind: "unavailable",
      message: expect.stringMatching(
        /torch 2.5.1 is too old.*python3: torch cannot be imported: No module named torch/,
      ),
      remedy: expect.stringContaining(".venv/bin/python -m pip install torch numpy"),
    });
  });

  describe("in the current directory", () => {
    const here = join(".venv", "bin", "python");
    const expectPassedOver = async (where: string, why: string) => {
      expect(await findTorch(undefined)).toMatchObject({
        found: { path: join(directory, "bin", "python3") },
        unusable: [{ path: here, problem: expect.stringContaining(`${join(directory, where)} ${why}`) }],
      });
      expect(await findTorch(here)).toMatchObject({ found: { path: here } });
    };
    beforeEach(() => {
      program("bin/python3", USABLE);
      vi.stubEnv("PATH", join(directory, "bin"));
      program(here, USABLE);
    });

    it.each([".", ".venv", ".venv/bin", ".venv/bin/python"])(
      "is passed over where others can write %s",
      async (where) => {
        chmodSync(where, 0o777);
        await expectPassedOver(where, "can be written by other users");
      },
    );

    it.runIf(asRoot("a .venv of another user")).each([".", ".venv", ".venv/bin", ".venv/bin/python"])(
      "is passed over where %s is another user's",
      async (where) => {
        chownSync(where, 65_534, 65_534);
        await expectPassedOver(where, "belongs to another user");
      },
    );

    it.runIf(asRoot("a link of another user"))(
      "is passed over where it is behind another user's link",
      async () => {
        mkdirSync("below");
        process.chdir("below");
        symlinkSync("../.venv", ".venv");
        expect((await findTorch(undefined)).found).toMatchObject({ path: here });
        lchownSync(".venv", 65_534, 65_534);
        await expectPassedOver("below/.venv", "belongs to another user");
      },
    );

    it("is run in a directory that is everybody's and sticky, as /tmp is", async () => {
      chmodSync(".", 0o1777);
      expect(await findTorch(undefined)).toMatchObject({ found: { path: here }, unusable: [] });
    });
  });

  it.each([
    ["there is no such program", () => "nowhere/python", /nowhere\/python: There is no such program/],
    ["it is no Python", () => program("no", "echo hello"), /no: It is no Python that runs musweep_torch/],
    ["it ends with an error", () => program("bad", "echo broken >&2; exit 1"), /bad: broken\./],
  ])("that is named is the only one that counts: %s", async (_what, make, message) => {
    program(".venv/bin/python", USABLE);
    const rejection = expect(resolveTrainers({ ...options, python: make() })).rejects;
    await rejection.toMatchObject({ code: "no-torch", message: expect.stringMatching(message) });
  });
});

describe("devices and slots", () => {
  const cuda = (...devices: string[]) => ({
    trainers: [{ name: "musweep", engine: "musweep-torch", devices }],
  });

  it("are one slot per GPU that is named, or that PyTorch sees", async () => {
    const python = program("python", USABLE);
    expect(await resolveTrainers({ ...options, python })).toMatchObject(cuda("cuda:0", "cuda:1"));
    expect(await resolveTrainers({ ...options, python, devices: "all" })).toMatchObject(
      cuda("cuda:0", "cuda:1"),
    );
    expect(await resolveTrainers({ ...options, python, devices: "cuda:1" })).toMatchObject(cuda("cuda:1"));
    expect(await resolveTrainers({ ...options, python, devices: "cpu", slots: 3 })).toMatchObject({
      trainers: [{ devices: ["cpu"] }],
      cpu_slots: 3,
    });
  });

  it("are the CPU where PyTorch sees no GPU", async () => {
    const python = program("python", { ...USABLE, devices: [] });
    expect(await resolveTrainers({ ...options, python })).toMatchObject({
      trainers: [{ start: { python }, devices: ["cpu"] }],
    });
    await expect(resolveTrainers({ ...options, python, devices: "all" })).rejects.toMatchObject({
      code: "no-device",
      message: expect.stringContaining("sees no GPU"),
    });
  });

  it.each([
    [{ devices: "cuda:2" }, "no-device", "sees cuda:0, cuda:1"],
    [{ devices: "gpu" }, "no-device", "--devices gpu"],
    [{ devices: "cuda:0,cuda:0" }, "bad-option", "named twice"],
    [{ slots: 4 }, "bad-option", "--slots 4"],
    [{ trainer: ["musweep"], python: "python3" }, "bad-option", "--python"],
    [{ trainer: ["musweep"], devices: "cpu" }, "bad-option", "--devices"],
    [{ trainer: ["torch", "torch=other"] }, "bad-option", "named twice"],
    [{ trainer: ["mine"] }, "bad-option", "--trainer mine: there is no such trainer"],
    [{ trainer: ["My=x"] }, "bad-option", '"My" is no trainer'],
    [{ trainer: ["mine=x"], devices: "gpu" }, "bad-option", '"gpu" is no device'],
  ])("that cannot be are refused: %j", async (wrong, code, message) => {
    const python = program("python", USABLE);
    const rejection = expect(
      resolveTrainers({ ...options, ...("trainer" in wrong ? {} : { python }), ...wrong }),
    ).rejects;
    await rejection.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it("do not concern other trainers", async () => {
    expect(await resolveTrainers({ slots: 2 })).toEqual({ trainers: [EMBEDDED], cpu_slots: 2 });
    const own = { name: "mine", engine: null, start: { command: ["a", "b"] } };
    expect(await resolveTrainers({ trainer: ["mine= a  b "], slots: 1 })).toEqual({
      trainers: [{ ...own, devices: ["cpu"] }],
      cpu_slots: 1,
    });
    expect(await resolveTrainers({ trainer: ["mine=a b"], devices: "cuda:0,cuda:3" })).toMatchObject({
      trainers: [{ ...own, devices: ["cuda:0", "cuda:3"] }],
    });
  });

  it("are those of every trainer that the worker has", async () => {
    const python = program("python", USABLE);
    const offer = await resolveTrainers({ trainer: ["musweep", "torch"], python, slots: 2 });
    expect(slotsOf(offer)).toEqual(["cpu", "cpu", "cuda:0", "cuda:1"]);
    expect([...needsMetBy(offer)].sort()).toEqual([
      "musweep",
      "musweep-cpu",
      "musweep-cpu@cpu",
      "musweep-torch",
      "musweep-torch@cuda",
      "musweep@cpu",
      "musweep@cuda",
    ]);
    const all = await resolveTrainers({ ...options, python, devices: "cpu,cuda:1", slots: 1 });
    expect(slotsOf(all)).toEqual(["cpu", "cuda:1"]);
    const torchrun = await resolveTrainers({ trainer: ["torch=torchrun -m musweep_torch"] });
    expect(torchrun.trainers).toMatchObject([{ name: "musweep", engine: "musweep-torch" }]);
  });
});

describe("trainers.yaml", () => {
  const write = (text: string, name = "trainers.yaml"): string => {
    const file = join(directory, name);
    writeFileSync(file, text, { mode: 0o644 });
    return file;
  };
  const own = (name: string, ...command: string[]) => ({
    name,
    engine: null,
    start: { command },
    devices: ["cpu"],
  });

  it("in the state directory, or named, says what a worker offers and how each is started", async () => {
    const python = program("torch/python", USABLE);
    write(`mine: python3 "my train.py"\nother: { command: [a, "b c"], devices: "cuda:1" }\nmusweep: {}\n`);
    const [mine, other] = [own("mine", "python3", "my train.py"), own("other", "a", "b c")];
    expect(await resolveTrainers({ dir: directory, slots: 1 })).toEqual({
      trainers: [mine, { ...other, devices: ["cuda:1"] }, EMBEDDED],
      cpu_slots: 1,
    });
    const some = await resolveTrainers({ dir: directory, trainer: ["third=x", "mine"], slots: 1 });
    expect(some.trainers).toEqual([own("third", "x"), mine]);
    const trainers = write(`torch: { python: ${python}, devices: "cuda:0" }\n`, "other.yaml");
    expect(await resolveTrainers({ dir: directory, trainers })).toMatchObject({
      trainers: [{ engine: "musweep-torch", start: { python }, devices: ["cuda:0"] }],
    });
    expect(await resolveTrainers({ dir: directory, trainers, devices: "cpu", slots: 1 })).toMatchObject({
      trainers: [{ devices: ["cpu"] }],
    });
  });

  it.each([
    ["mine: { comand: x }", ':1:9: mine.comand: unknown key "comand"; did you mean "command"?'],
    ["a: x\nMine: x", ":2:1: Mine: no trainer's name"],
    ["a: x\nmine: { devices: all }", ":2:1: mine: its command is missing"],
    ["mine: 3", ":1:7: mine: expected"],
    ["mine: { command: x, python: y }", ":1:21: mine.python: only the trainer torch"],
    ["musweep: { devices: cpu }", ":1:12: musweep.devices: the embedded trainer has the CPU alone"],
    ["a: [", ":1:"],
    ["a: x\na: y", ":2:1: this key is given twice"],
    ["", ":1:1: the file is empty"],
  ])("with a mistake is refused at its place: %j", async (text, message) => {
    const trainers = write(text);
    await expect(resolveTrainers({ trainers })).rejects.toMatchObject({
      code: "trainers-file",
      kind: "usage",
      message: expect.stringContaining(`${trainers}${message}`),
    });
  });

  it("with very many mistakes is refused with the first hundred", async () => {
    const trainers = write(Array.from({ length: 20_000 }, (_, i) => `Mine${i}: { comand: x }`).join("\n"));
    const error = await resolveTrainers({ trainers }).catch((thrown: Error) => thrown);
    const lines = (error as Error).message.split("\n");
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toBe("and 19,900 more mistakes");
  });

  it("that others can write is refused, for its programs run as this user", async () => {
    const trainers = write("mine: x");
    chmodSync(trainers, 0o666);
    await expect(resolveTrainers({ dir: directory })).rejects.toMatchObject({
      code: "trainers-file-open",
      remedy: expect.stringContaining("chmod go-w"),
    });
  });

  it("that others can replace is refused, but in a directory like /tmp", async () => {
    const trainers = write("mine: x");
    mkdirSync("own");
    symlinkSync(trainers, join("own", "trainers.yaml"));
    chmodSync(directory, 0o777);
    for (const dir of [directory, "own"])
      await expect(resolveTrainers({ dir })).rejects.toMatchObject({
        code: "trainers-file-open",
        message: `${directory} can be written by other users of this machine`,
      });
    chmodSync(directory, 0o1777);
    expect((await resolveTrainers({ dir: "own" })).trainers).toEqual([own("mine", "x")]);
  });

  it("that nobody named is said, before its programs are started", async () => {
    const trainers = write("mine: x\nother: y");
    const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    onTestFinished(() => said.mockRestore());
    await resolveTrainers({ dir: directory, trainer: ["mine"] });
    await resolveTrainers({ trainers });
    expect(said.mock.calls).toEqual([]);
    await resolveTrainers({ dir: directory });
    expect(said.mock.calls).toEqual([[`Trainers of ${trainers}: mine, other.\n`]]);
  });
});
