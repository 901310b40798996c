/**
 * Activations [N, C] in whichever layout an operation wants: rows of tokens, or panels of 64 tokens, [⌈N/64⌉, C, 64], which products
 * with sparse matrices read. A layout is made when it is first asked for.
 */
import { native } from "../../common/native.ts";
import type { Tape, Value } from "../tape.ts";

const PANEL = Number(native.func("int64_t panel_tokens()")());

export const panelsShape = (n: number, c: number): number[] => [Math.ceil(n / PANEL), c, PANEL];
/** Room for one panel of each thread. */
export const panelRoom = (t: Tape, c: number): Value => t.value([t.members, c, PANEL]);

export class Rows {
  readonly #t: Tape;
  readonly n: number;
  readonly c: number;
  #tokens: Value | null;
  /** By what they are multiplied by. */
  readonly #panels = new Map<number, Value>();

  private constructor(t: Tape, n: number, c: number, tokens: Value | null) {
    this.#t = t;
    this.n = n;
    this.c = c;
    this.#tokens = tokens;
  }

  static tokens(t: Tape, value: Value): Rows {
    const [n, c] = value.shape as [number, number];
    return new Rows(t, n, c, value);
  }

  static panels(t: Tape, n: number, value: Value): Rows {
    const rows = new Rows(t, n, value.shape[1]!, null);
    rows.#panels.set(1, value);
    return rows;
  }

  get areTokens(): boolean {
    return this.#tokens !== null;
  }

  /** [N, C] */
  tokens(): Value {
    if (this.#tokens === null) {
      this.#tokens = this.#t.value([this.n, this.c]);
      this.#t.call("from_panels", [this.#panels.get(1)!, this.#tokens], [this.n, this.c]);
    }
    return this.#tokens;
  }

  /** The same times a scale, in panels. */
  panels(scale = 1): Value {
    const known = this.#panels.get(scale);
    if (known !== undefined) return known;
    const panels = this.#t.value(panelsShape(this.n, this.c));
    this.#t.call("to_panels", [this.tokens(), panels], [this.n, this.c], [scale]);
    this.#panels.set(scale, panels);
    return panels;
  }
}
