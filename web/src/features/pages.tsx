/**
 * Lists that are longer than one answer. The newest page follows the run; older ones are fetched as one scrolls, and
 * stay. A cursor is a place in a list to which rows are only ever added: the page that begins there is always the same.
 */
import { Button } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { type ComponentProps, useEffect, useRef, useState } from "react";
import { marks } from "../client/presence";
import type { WorkKind } from "../client/stream";
import { isBusy, usePolling, useStanding, type Work } from "../client/work";
import { DataTable } from "../ui/DataTable";
import { whole } from "../ui/format";
import { Failure, Loaded } from "../ui/parts";

interface Page<T> {
  items: T[];
  next?: string | null;
  total?: number | null;
}
type Known<T> = { state: { data?: Page<T> } };
type Pages<T> = (Page<T> | undefined)[];

/** Rows of a page of a table, and of a list that is not one. */
const SIZE = 200;
export const SHORT = 50;
const NEWEST = "";

/** Return the cursor of the page after one: the second lies under the newest, which may move before another must come between. */
function after(start: string, next: string, size: number): string {
  return start === NEWEST ? String(Number(next) + Math.floor(0.75 * size)) : next;
}

/** Return the cursors with another one wherever a page does not reach the one after it. */
function linked<T>(starts: string[], pages: Pages<T>, size: number): string[] {
  return starts.flatMap((start, at) => {
    const next = pages[at]?.next;
    const follower = starts[at + 1];
    return next && follower && Number(next) > Number(follower) ? [start, after(start, next, size)] : [start];
  });
}

/** Return the rows of pages that may overlap: each once, as the newest page has it. */
function joined<T>(pages: Page<T>[], keyOf: (row: T) => string): T[] {
  const seen = new Set<string>();
  return pages.flatMap(({ items }) => {
    const fresh = items.filter((row) => !seen.has(keyOf(row)));
    for (const row of fresh) seen.add(keyOf(row));
    return fresh;
  });
}

async function read<T>(path: string, query: Record<string, string | number>, start: string, signal: AbortSignal): Promise<Page<T>> {
  const asked = new URLSearchParams({ ...Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value)])), ...(start === NEWEST ? {} : { cursor: start }) });
  const answer = await fetch(`${path}?${asked}`, { headers: marks(), signal });
  const body = await answer.json();
  if (!answer.ok) throw body;
  return body as Page<T>;
}

interface Wish<T> {
  query?: Record<string, string>;
  /** Older pages are read again only while they hold a row that may change. */
  mayChange?: (row: T) => boolean;
  size?: number;
  /** When pages are asked for again of which no stream tells. */
  refetchInterval?: number | ((query: { state: { data?: unknown } }) => number | false);
}

/** Follow a list (`of` is the id of its run, if it is one's); until all pages are there, the rows stay as they were. */
export function usePages<T>(path: string, of: string, keyOf: (row: T) => string, { query: filters = {}, mayChange = () => false, size = SIZE, refetchInterval }: Wish<T> = {}) {
  const query = { limit: size, ...filters };
  const name = JSON.stringify([path, of, query]);
  const mayMove = (start: string, { state }: Known<T>) => start === NEWEST || !state.data || state.data.items.some(mayChange);
  const [held, hold] = useState({ name, starts: [NEWEST] });
  const starts = held.name === name ? held.starts : [NEWEST];
  const found = useQueries({
    queries: starts.map((start) => ({
      queryKey: [path, of, query, start],
      queryFn: ({ signal }: { signal: AbortSignal }) => read<T>(path, query, start, signal),
      refetchInterval: (known: Known<T>) => mayMove(start, known) && (typeof refetchInterval === "function" ? refetchInterval(known) : (refetchInterval ?? false)),
      staleTime: (known: Known<T>) => (mayMove(start, known) ? 0 : ("static" as const)),
    })),
  });
  const pages = found.map((each) => each.data);
  const error: unknown = found.find((each) => each.error)?.error ?? null;
  const wanted = linked(starts, pages, size);
  const isWhole = wanted.length === starts.length && pages.every((each) => each !== undefined);
  useEffect(() => {
    if (wanted.length !== starts.length) hold({ name, starts: wanted });
  });

  const shown = useRef<{ name: string; pages: Pages<T>; rows?: T[] }>({ name, pages: [] });
  const isOld = shown.current.name !== name || pages.length !== shown.current.pages.length || pages.some((each, at) => each !== shown.current.pages[at]);
  if (isWhole && isOld) shown.current = { name, pages, rows: joined(pages as Page<T>[], keyOf) };
  const more = () => {
    const [start, next] = [starts.at(-1), pages.at(-1)?.next];
    if (isWhole && start !== undefined && next) hold({ name, starts: [...starts, after(start, next, size)] });
  };
  const data = error && shown.current.name !== name ? undefined : shown.current.rows;
  const isComplete = isWhole && !pages.at(-1)?.next;
  const total = pages[0]?.total ?? undefined;
  return { data, error, isPending: data === undefined, isComplete, isBusy: !isWhole, total, more };
}
type Paged<T> = ReturnType<typeof usePages<T>>;

/** A list as its filters leave it: of what does not fit is told at the fields, and what else (`rest`) went wrong below them. */
export const fitting = <T,>(of: Paged<T>, rest: unknown): Paged<T> => ({ ...of, error: rest, data: of.data ?? (of.error && !rest ? [] : undefined) });

/** Follow a list of long work, of one kind or of all, as it stands now. */
export function useWorkPages<W extends Work>(path: string, { kind, ...wish }: { kind?: WorkKind } & Wish<W> = {}): Paged<W> {
  const pages = usePages<W>(path, "", (row) => row.id, { mayChange: isBusy, refetchInterval: usePolling(), ...wish });
  return { ...pages, data: useStanding(pages.data, kind) };
}

/** Where a list ends that has more, and what leads on; a table is read on as one scrolls. */
export function Older<T>({ of, first = "The newest", name = "Older" }: { of: Paged<T>; first?: string; name?: string }) {
  if (of.data === undefined || of.isComplete) return null;
  return (
    <div className="row older">
      <span className="quiet">
        {first} {whole(of.data.length)}{of.total !== undefined && ` of ${whole(of.total)}`}
      </span>
      <Button size="compact-sm" variant="light" loading={of.isBusy} onClick={of.more}>
        {name}
      </Button>
    </div>
  );
}

type Table<T> = Omit<ComponentProps<typeof DataTable<T>>, "rows" | "onEnd"> & {
  /** Pixels that it takes while it is waited for; else as many as it may have. */
  room?: number;
};

/** A table of such a list, and why it lacks what is missing. */
export function PagedTable<T>({ of, room, ...table }: { of: Paged<T> } & Table<T>) {
  return (
    <>
      {of.error && of.data && <Failure error={of.error} />}
      <Loaded query={of} height={room ?? table.height ?? 420}>
        {(rows) => <DataTable {...table} rows={rows} onEnd={of.more} />}
      </Loaded>
    </>
  );
}
