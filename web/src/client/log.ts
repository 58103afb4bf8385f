/**
 * A log as it grows: its newest page is read once, older ones are read as one scrolls, and what comes is told by the
 * stream, which goes on after the last line that came. Where it cannot, the log is read anew.
 */
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useReducer, useRef, useState } from "react";
import type { Schemas } from "./api";
import { marks } from "./presence";
import { type LogTold, stream } from "./stream";

export type Line = Schemas["LogOut"] & { file: string };
export type Level = "info" | "warning" | "error";
type Page = Schemas["LogPage"];

/** Which lines are wanted: from a level on, with a text, from the moment `start` on and before `end`. */
export interface Wanted {
  level?: Level;
  contains?: string;
  start?: string;
  end?: string;
}

/** Lines that are kept while new ones come; who scrolls down reads the oldest again. */
const MOST = 20_000;
const SIZE = "200";

export interface Held {
  rows: Line[];
  /** Where the page after the oldest line ends. */
  next: { cursor: string; file: string } | null;
}

interface Read extends Held {
  /** The newest page, with which it began. */
  page: Page | undefined;
  /** Why older lines cannot be read. */
  error: unknown;
}

const linesOf = (items: Page["items"], file: string): Line[] => items.map((each) => ({ ...each, file }));
const nextOf = ({ next, file }: Page) => (next ? { cursor: next, file: file ?? "" } : null);

/** Return lines with those that came, oldest first; of too many the oldest go, which may be read again. */
export function grown({ rows, next }: Held, { items, file }: Pick<LogTold, "items" | "file">, most = MOST): Held {
  const all = [...linesOf(items, file).reverse(), ...rows];
  const last = all[most - 1];
  return all.length > most && last ? { rows: all.slice(0, most), next: { cursor: String(last.at), file: last.file } } : { rows: all, next };
}

/** Return what says of a line whether it lies in a period, as the server does. */
export const isTimely = (start: string | undefined, end: string | undefined) => (line: Pick<Line, "ts">) =>
  start === undefined && end === undefined ? true : line.ts !== null && line.ts >= Number(start ?? 0) && line.ts < Number(end ?? Infinity);

async function read(way: string, query: Record<string, string>, signal?: AbortSignal): Promise<Page> {
  const answer = await fetch(`${way}?${new URLSearchParams({ limit: SIZE, ...query })}`, { headers: marks(), signal });
  const body = await answer.json();
  if (!answer.ok) throw body;
  return body as Page;
}

const filesOf = ({ files }: Page) => files ?? [];

/**
 * Follow the log of a bot, or of the server (null), as far as its lines fit; one that was put away is read, as it grows no more. Its files are those
 * of the page that was read last, asked for again when the log is put away, the connection comes back, or one wishes.
 */
export function useLog(of: string | null, file: string, wanted: Wanted) {
  const way = of === null ? "/api/v1/logs" : `/api/v1/runs/${encodeURIComponent(of)}/logs`;
  const { start, end, ...told } = wanted;
  const [turn, again] = useReducer((before: number) => before + 1, 0);
  const queries = useQueryClient();
  const filesKey = ["log files", way];
  const begin = async ({ signal }: { signal: AbortSignal }) => {
    const found = await read(way, { ...wanted, ...(file ? { file } : {}) }, signal);
    queries.setQueryData(filesKey, filesOf(found));
    return found;
  };
  const first = useQuery({ queryKey: ["log", way, file, wanted, turn], queryFn: begin, staleTime: "static", gcTime: 0, refetchOnMount: false });
  const page = first.data;
  const files = useQuery({ queryKey: filesKey, queryFn: async ({ signal }) => filesOf(await read(way, { limit: "1" }, signal)), enabled: page !== undefined, staleTime: Number.POSITIVE_INFINITY, placeholderData: keepPreviousData });
  const begun = useMemo<Read>(() => ({ page, rows: linesOf(page?.items ?? [], page?.file ?? ""), next: page ? nextOf(page) : null, error: null }), [page]);
  const [known, keep] = useState(begun);
  const now = known.page === page ? known : begun;
  const shown = useRef(page);
  shown.current = page;
  /** Change what is known of the page that is shown, and of no other that is shown by then. */
  const hold = (change: (before: Read) => Partial<Read>) => {
    if (shown.current === page) keep((before) => { const from = before.page === page ? before : begun; return { ...from, ...change(from) }; });
  };

  /** Up to where it was told: a screen that was hidden meanwhile goes on from there. */
  const place = useRef({ page, file: "", end: 0 });
  useEffect(() => {
    if (!page || file || Number(end) <= Date.now()) return;
    if (place.current.page !== page) place.current = { page, file: page.file ?? "", end: page.end ?? 0 };
    return stream.tail({ log: of, file: place.current.file, since: place.current.end, ...told }, (came) => {
      if (came === null) return again();
      if (came.file !== place.current.file) void files.refetch();
      place.current = { page, file: came.file, end: came.end };
      const items = came.items.filter(isTimely(start, end));
      if (items.length > 0) hold((before) => grown(before, { file: came.file, items }));
    });
  }, [page]); // it is another page whenever anything else is asked for

  const asked = useRef<unknown>(null);
  const more = async () => {
    const { next, error } = now;
    if (!next || error || asked.current === next) return;
    asked.current = next;
    try {
      const older = await read(way, { ...wanted, ...next });
      // Where the oldest were let go meanwhile, it is no more these that follow.
      hold((before) => (before.next === next ? { rows: [...before.rows, ...linesOf(older.items, next.file)], next: nextOf(older) } : {}));
    } catch (failure) {
      asked.current = null;
      hold(() => ({ error: failure }));
    }
  };
  return { data: page && now, error: first.error, isPending: first.isPending, files: files.data ?? [], renew: files.refetch, more, retry: () => hold(() => ({ error: null })) };
}
