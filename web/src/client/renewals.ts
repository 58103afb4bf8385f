/**
 * Queries that are asked again: a few at a time, so that deeds find a connection; each after what is under way for it,
 * which may have been answered before the change; and once, however often that was wished meanwhile. A slow link is
 * neither flooded nor left without any answer.
 */
import type { Query, QueryClient } from "@tanstack/react-query";

/** Questions that are under way at once. */
export const MOST = 4;
/** Milliseconds between two times of asking the same: a change that comes sooner waits so long at most. */
const EVERY = 100;
/** Requests a second in the long run, well below what the server lets one address ask, and how many at first. */
const [PACE, CREDIT] = [20, 80];

export class Renewals {
  private queries: QueryClient | null = null;
  private due = new Set<Query>();
  private underWay = new Set<Query>();
  private asked = new WeakMap<Query, number>();
  private credit = { left: CREDIT, at: 0 };
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Ask again what is shown now; what is not is asked when it is. */
  ask(queries: QueryClient, predicate: (query: Query) => boolean): void {
    this.queries = queries;
    void queries.invalidateQueries({ predicate, refetchType: "none" });
    for (const query of queries.getQueryCache().findAll({ type: "active", predicate })) this.due.add(query);
    this.go();
  }

  private go(): void {
    clearTimeout(this.timer);
    const now = Date.now();
    this.credit = { left: Math.min(CREDIT, this.credit.left + ((now - this.credit.at) / 1_000) * PACE), at: now };
    let least = Number.POSITIVE_INFINITY;
    for (const query of this.due) {
      if (this.underWay.size >= MOST) return; // the first that ends goes on
      if (this.underWay.has(query)) continue;
      const wait = Math.max((this.asked.get(query) ?? 0) + EVERY - now, ((1 - this.credit.left) / PACE) * 1_000);
      if (wait > 0) least = Math.min(least, wait);
      else {
        this.due.delete(query);
        void this.renew(query);
      }
    }
    if (Number.isFinite(least)) this.timer = setTimeout(() => this.go(), Math.ceil(least));
  }

  private async renew(query: Query): Promise<void> {
    this.underWay.add(query);
    this.asked.set(query, Date.now());
    this.credit.left -= 1;
    await query.promise?.catch(() => undefined);
    await this.queries?.refetchQueries({ queryKey: query.queryKey, exact: true, type: "active" }, { cancelRefetch: false });
    this.underWay.delete(query);
    this.go();
  }
}
