/** What changes of a run are about: which lists take their rows as they come, and what is asked for again. */
import type { Query } from "@tanstack/react-query";
import about from "./about.json";

export interface Change {
  number: number;
  kind: string;
  data: Row;
}
type Row = Record<string, unknown> & { ts?: number };
interface Page {
  items: Row[];
  next?: string | null;
  total?: number | null;
}

/** By route, the kinds of changes with which its answer becomes another one; one that is not named: with all. */
const ABOUT: Record<string, readonly string[]> = about;
/** Lists of which the stream tells each row as the route does: by which kind of change, and how it takes its place. */
const LISTS: Record<string, { kind: string; taken: (known: never, rows: Row[], query: Record<string, unknown>) => unknown }> = {
  "{run}/orders": { kind: "order", taken: (page: Page, rows, query) => joined(page, rows, "id", query) },
  "{run}/fills": { kind: "fill", taken: (page: Page, rows, query) => joined(page, rows, "ref", query) },
  "{run}/positions": { kind: "position", taken: held },
};
/** Rows by which a page may outgrow what was asked for before it is asked for again. */
export const SLACK = 50;

interface Asked {
  /** The route, as in `about.json`. */
  route: string;
  run: string;
  query: Record<string, unknown>;
}

/** Return which route a query asks, by the typed client or, with the names in it, by `usePages`. */
export const wayOf = ({ queryKey: [first, second] }: Pick<Query, "queryKey">) => String(first === "get" ? second : first);

/** Return what a query asks of runs or alerts, null for one that asks for something else. */
function asked(query: Pick<Query, "queryKey">): Asked | null {
  const [first, , third, start] = query.queryKey;
  const isTyped = first === "get";
  const [, noun, name, rest] = /^\/api\/v1\/(runs|alerts)(?:\/([^/]+)(?:\/(.+))?)?$/.exec(wayOf(query)) ?? [];
  if (noun === undefined) return null;
  const route = noun === "alerts" ? noun : name === undefined ? "" : rest === undefined ? "{run}" : `{run}/${rest}`;
  if (!isTyped) return { route, run: name ?? "", query: { ...(third as object), cursor: start } };
  const { path, query: filters } = (third as { params?: { path?: { run?: string }; query?: object } } | undefined)?.params ?? {};
  return { route, run: path?.run ?? "", query: { ...filters } };
}

/** Say whether a query asks of runs at all, or of what they tell people. */
export function isOfRuns(query: Query): boolean {
  return asked(query) !== null;
}

/** Say whether changes of these kinds make the answer to a query another one. */
export function isAbout(query: Query, kinds: ReadonlySet<string>): boolean {
  const found = asked(query);
  return found !== null && (ABOUT[found.route]?.some((kind) => kinds.has(kind)) ?? true);
}

/** Return what a query holds with what changes of its run tell, null where that must be asked for. */
export function withRows(query: Query, run: string, changes: Change[]): unknown {
  const found = asked(query);
  const list = found && LISTS[found.route];
  if (!list || found.run !== run || query.state.data === undefined || query.state.isInvalidated) return null;
  const rows = changes.filter((each) => each.kind === list.kind).map((each) => each.data);
  return rows.length > 0 ? list.taken(query.state.data as never, rows, found.query) : null;
}

/** Return positions as they are now; null where one came, whose place among the others is for the server to say. */
export function held(positions: Row[], rows: Row[]): Row[] | null {
  let found = positions;
  for (const row of rows) {
    const isIt = (each: Row) => each.strategy === row.strategy && each.instrument === row.instrument;
    if (!found.some(isIt)) {
      if (row.direction === "flat") continue;
      return null;
    }
    found = row.direction === "flat" ? found.filter((each) => !isIt(each)) : found.map((each) => (isIt(each) ? row : each));
  }
  return found;
}

const isBefore = (row: Row, other: Row | undefined) => other !== undefined && Number(row.ts) < Number(other.ts);

/** Return a page with rows that are new or became others; null where their places are not plain. */
export function joined(page: Page, rows: Row[], key: string, { limit = 100, cursor = "", start, end, ...wanted }: Record<string, unknown>): Page | null {
  const filters = Object.entries(wanted).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const items = [...page.items];
  let total = page.total;
  for (const row of rows) {
    if (filters.some(([name]) => !(name in row))) return null;
    const isTimely = Number(row.ts) >= Number(start ?? 0) && Number(row.ts) < Number(end ?? Infinity);
    const fits = isTimely && filters.every(([name, value]) => (Array.isArray(value) ? value.includes(row[name]) : String(row[name]) === String(value)));
    const at = items.findIndex((each) => each[key] === row[key]);
    if (at >= 0) {
      items.splice(at, 1, ...(fits ? [row] : []));
      if (!fits && typeof total === "number") total -= 1;
    } else if (fits && cursor === "") {
      const [first, last] = [items[0], items.at(-1)];
      if (isBefore(row, first)) {
        if (page.next && isBefore(row, last)) continue; // it stands on a page further down
        return null;
      }
      items.unshift(row);
      if (typeof total === "number") total += 1;
    }
  }
  return items.length > Number(limit) + SLACK ? null : { ...page, items, total };
}
