/** Long work as it stands now: what was read of it, and what the stream has told since. It is polled only without a stream. */
import { useMemo } from "react";
import type { Schemas } from "./api";
import { WORK_EVERY } from "./pace";
import { type Told, useLink, useToldWork, type WorkKind } from "./stream";
import type { Read } from "./valued";

export type Work = Omit<Schemas["JobOut"], "kind">;
const RESTING = 10_000;

export const isBusy = (of: Pick<Work, "state"> | undefined) => of?.state === "queued" || of?.state === "running";

/** When to ask again: never while the stream tells, else the sooner where work waits or is under way. */
export function usePolling() {
  const link = useLink();
  return (query: { state: { data?: unknown } }) => {
    if (link === "live") return false;
    const data = query.state.data as { items?: Work[] } | Work | undefined;
    const rows = data && "items" in data ? (data.items ?? []) : [data as Work | undefined];
    return rows.some(isBusy) ? WORK_EVERY : RESTING;
  };
}

/** Return work, newest first, as it stands now: what is newer than all that was read comes with it. */
export function standing<W extends Work>(rows: W[], told: Iterable<Told>, kind?: WorkKind): W[] {
  const known = new Map<string, W>();
  for (const each of told) {
    if (!kind || each.kind === kind) known.set(each.data.id, (kind ? each.data : { ...each.data, kind: each.kind }) as unknown as W);
  }
  const last = rows.at(-1)?.created ?? 0;
  const read = new Set(rows.map((each) => each.id));
  const fresh = [...known.values()].filter((each) => !read.has(each.id) && each.created >= last);
  const found = [...fresh, ...rows.map((each) => known.get(each.id) ?? each)];
  return fresh.length > 0 ? found.sort((one, other) => other.created - one.created) : found;
}

/** Work of one kind, or of all kinds, as it stands now. */
export function useStanding<W extends Work>(rows: W[] | undefined, kind?: WorkKind): W[] | undefined {
  const told = useToldWork();
  return useMemo(() => rows && standing(rows, told.values(), kind), [rows, told, kind]);
}

/** Changes when a piece of work comes or stands otherwise; not while it only gets further. */
export function useTurns(): string {
  const told = useToldWork();
  return useMemo(() => [...told.values()].map(({ data }) => `${data.id} ${data.state}`).join(), [told]);
}

/** One piece of work as it stands now. */
export function useOneWork<W extends Work>(kind: WorkKind, { data, error, isPending }: Read<W>): Read<W> {
  const told = useToldWork().get(`${kind} ${data?.id}`)?.data as W | undefined;
  return { data: told ?? data, error, isPending };
}
