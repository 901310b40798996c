/**
 * Fair shares of the workers for sweeps that wait at the same time: start-time fair queueing (Goyal, Vin, Cheng 1996) over FLOPs.
 * Whose turn it is has had the least so far, computation counted by the sweep's priority. One that comes to those that wait starts
 * where they are: it neither has to wait until they are done, nor makes up for the time before it came.
 */
interface Claim<Run> {
  /** Of the sweep. */
  id: number;
  priority: number;
  /** In the order that the sweep wants them in. */
  runs: readonly Run[];
}

export class Shares {
  /** FLOPs put on the queue, over the priority, by sweep: of those that waited when it was last looked. */
  #had = new Map<number, number>();

  /** @returns the next runs, at most `limit`; one that several sweeps want is in it once, and counts for the one whose turn it was */
  take<Run extends { id: string; planned_flops: number }>(
    claims: readonly Claim<Run>[],
    limit: number,
  ): Run[] {
    const waiting = claims.filter(({ runs }) => runs.length > 0);
    const known = waiting.flatMap(({ id }) => this.#had.get(id) ?? []);
    const now = known.length > 0 ? Math.min(...known) : 0;
    this.#had = new Map(waiting.map(({ id }) => [id, this.#had.get(id) ?? now]));
    const left = new Map(waiting.map(({ id, runs }) => [id, runs[Symbol.iterator]()]));
    const taken = new Map<string, Run>();
    while (taken.size < limit && left.size > 0) {
      const turn = waiting
        .filter(({ id }) => left.has(id))
        .reduce((a, b) => (this.#had.get(b.id)! < this.#had.get(a.id)! ? b : a));
      const next = left.get(turn.id)!.next();
      if (next.done) left.delete(turn.id);
      else if (!taken.has(next.value.id)) {
        taken.set(next.value.id, next.value);
        this.#had.set(turn.id, this.#had.get(turn.id)! + next.value.planned_flops / turn.priority);
      }
    }
    return [...taken.values()];
  }
}
