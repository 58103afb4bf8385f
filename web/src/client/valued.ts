/** What was read of a run, at the prices that the stream told last: the server values it, and no rule stands here. */
import { useMemo } from "react";
import type { Schemas } from "./api";
import { type Prices, usePrices, type Worth } from "./stream";

type Part = Exclude<keyof Worth, "run">;
/** By which fields the rows of each list are told apart. */
const KEYS: Record<Part, readonly string[]> = {
  usage: ["name"],
  positions: ["strategy", "instrument"],
  balances: ["venue", "asset"],
  strategies: ["name"],
  contribution: ["strategy", "instrument"],
  round_trips: ["strategy", "instrument"],
};
export interface Read<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
}

/** Return rows with what they are worth now; which rows there are is for those who read them to say. */
export function valued<R extends object>(part: Part, rows: R[], prices: Prices | null): R[] {
  if (prices === null) return rows;
  const nameOf = (row: object) => KEYS[part].map((key) => (row as Record<string, unknown>)[key]).join(" ");
  const known = new Map(prices.worth[part].map((each) => [nameOf(each), each]));
  return rows.map((row) => ({ ...row, ...known.get(nameOf(row)) }));
}

/** A list that was read, at the prices that came last. */
export function useValued<R extends object>(part: Part, { data, error, isPending }: Read<R[]>): Read<R[]> {
  const prices = usePrices();
  const rows = useMemo(() => data && valued(part, data, prices), [part, data, prices]);
  return { data: rows, error, isPending };
}

/** Return where risk stands at the prices that came last, and at their time: a pause ends by itself. */
export function valuedRisk(risk: Schemas["RiskOut"], prices: Prices | null): Schemas["RiskOut"] {
  if (prices === null) return risk;
  const { run, strategies } = prices.worth;
  const standings = Object.fromEntries(strategies.map((each) => [each.name, each.standing]));
  return { ...risk, standing: run.standing, strategies: standings, usage: valued("usage", risk.usage, prices) };
}

export function useValuedRisk({ data, error, isPending }: Read<Schemas["RiskOut"]>): Read<Schemas["RiskOut"]> {
  const prices = usePrices();
  const found = useMemo(() => data && valuedRisk(data, prices), [data, prices]);
  return { data: found, error, isPending };
}

/** Return an instrument with the price that came last and its own moment, which are never told apart. */
export function atLastPrice<R extends { id: string; price: number | null; price_ts: number | null }>(read: R, prices: Prices | null): R {
  const price = prices?.prices[read.id];
  return price === undefined ? read : { ...read, price, price_ts: prices?.price_ts[read.id] ?? null };
}

export function useLastPrice<R extends Schemas["InstrumentOut"] | undefined>(read: R): R {
  const prices = usePrices();
  return read && (atLastPrice(read, prices) as R);
}

/** A run's own figures at the prices that came last. */
export function useValuedRun<R extends Schemas["RunOut"] | undefined>(run: R): R {
  const prices = usePrices();
  return useMemo(() => (run && prices?.run === run.name ? { ...run, ...prices.worth.run } : run), [run, prices]);
}
