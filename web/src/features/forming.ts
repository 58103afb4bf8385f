/** The candle that has not closed yet, as far as prices came while one looks: nothing is made up of what was before. */
import { useRef } from "react";

export interface Forming {
  /** When it began, and when its first price came. */
  ts: number;
  since: number;
  open: number;
  high: number;
  low: number;
  close: number;
}
const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of a timeframe; 0 of a month, which has no fixed length. */
export const lengthOf = (timeframe: string) => Number.parseInt(timeframe, 10) * (UNITS[timeframe.slice(-1)] ?? 0) || 0;

/** Return the candle with a price that came at a moment, null while that lies in the newest bar that has closed. */
export function formed(before: Forming | null, last: number | undefined, length: number, price: number | null | undefined, at: number | null | undefined): Forming | null {
  if (last === undefined || !length || price === null || price === undefined || !at) return null;
  const ts = last + Math.floor((at - 1 - last) / length) * length; // the price at which a bar closed is that bar's
  if (ts <= last) return null;
  const { since, open, high, low } = before?.ts === ts ? before : { since: at, open: price, high: price, low: price };
  return { ts, since, open, high: Math.max(high, price), low: Math.min(low, price), close: price };
}

/** Follow the candle of `what`, an instrument and a timeframe, after the newest bar that has closed. */
export function useForming(what: string, last: number | undefined, timeframe: string, price: number | null | undefined, at: number | null | undefined): Forming | null {
  const known = useRef<{ what: string; of: Forming | null }>({ what, of: null });
  const before = known.current.what === what ? known.current.of : null;
  const now = formed(before, last, lengthOf(timeframe), price, at);
  const isSame = JSON.stringify(now) === JSON.stringify(before);
  const of = isSame ? before : now;
  known.current = { what, of };
  return of;
}
