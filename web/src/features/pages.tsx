/**
 * Lists that are longer than one answer. The newest page follows the run; older ones are fetched as one scrolls, and
 * stay. A cursor is a place in a list to which rows are only ever added: the page that begins there is always the same.
 */
import { useQueries } from "@tanstack/react-query";
import { type ComponentProps, useEffect, useRef, useState } from "react";
import { marks } from "../client/presence";
import { DataTable } from "../ui/DataTable";
import { Failure, Loaded } from "../ui/parts";

interface Page<T> {
  items: T[];
  next?: string | null;
}
type Pages<T> = (Page<T> | undefined)[];

const SIZE = 200;
/** Places by which the second page lies under the newest, which moves so far before another must come between. */
const LAP = 150;
const NEWEST = "";

/** Return the cursor of the page after one. */
function after(start: string, next: string): string {
  return start === NEWEST ? String(Number(next) + LAP) : next;
}

/** Return the cursors with another one wherever a page does not reach the one after it. */
function linked<T>(starts: string[], pages: Pages<T>): string[] {
  return starts.flatMap((start, at) => {
    const next = pages[at]?.next;
    const follower = starts[at + 1];
    return next && follower && Number(next) > Number(follower) ? [start, after(start, next)] : [start];
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

async function read<T>(path: string, query: Record<string, string>, start: string): Promise<Page<T>> {
  const asked = new URLSearchParams({ limit: String(SIZE), ...query, ...(start === NEWEST ? {} : { cursor: start }) });
  const answer = await fetch(`${path}?${asked}`, { headers: marks() });
  const body = await answer.json();
  if (!answer.ok) throw body;
  return body as Page<T>;
}

/**
 * Follow a list of one run (`of` is its id). Older pages are read again only while they hold a row that may change;
 * until all pages are there, the rows stay as they were.
 */
export function usePages<T>(
  path: string,
  of: string,
  keyOf: (row: T) => string,
  query: Record<string, string> = {},
  mayChange: (row: T) => boolean = () => false,
) {
  const name = JSON.stringify([path, of, query]);
  const [held, hold] = useState({ name, starts: [NEWEST] });
  const starts = held.name === name ? held.starts : [NEWEST];
  const found = useQueries({
    queries: starts.map((start) => ({
      queryKey: [path, of, query, start],
      queryFn: () => read<T>(path, query, start),
      staleTime: (known: { state: { data?: Page<T> } }) =>
        start !== NEWEST && known.state.data && !known.state.data.items.some(mayChange) ? ("static" as const) : 0,
    })),
  });
  const pages = found.map((each) => each.data);
  const error: unknown = found.find((each) => each.error)?.error ?? null;
  const wanted = linked(starts, pages);
  const isWhole = wanted.length === starts.length && pages.every((each) => each !== undefined);
  useEffect(() => {
    if (wanted.length !== starts.length) hold({ name, starts: wanted });
  });

  const shown = useRef<{ name: string; rows?: T[] }>({ name });
  if (isWhole) shown.current = { name, rows: joined(pages as Page<T>[], keyOf) };
  const more = () => {
    const [start, next] = [starts.at(-1), pages.at(-1)?.next];
    if (isWhole && start !== undefined && next) hold({ name, starts: [...starts, after(start, next)] });
  };
  const data = error && shown.current.name !== name ? undefined : shown.current.rows;
  const isComplete = isWhole && !pages.at(-1)?.next;
  return { data, error, isPending: data === undefined, isComplete, more };
}

type Table<T> = Omit<ComponentProps<typeof DataTable<T>>, "rows" | "onEnd">;

/** A table of such a list, and why it lacks what is missing. */
export function PagedTable<T>({ of, ...table }: { of: ReturnType<typeof usePages<T>> } & Table<T>) {
  return (
    <>
      {of.error && of.data && <Failure error={of.error} />}
      <Loaded query={of} height={table.height ?? 420}>
        {(rows) => <DataTable {...table} rows={rows} onEnd={of.more} />}
      </Loaded>
    </>
  );
}
