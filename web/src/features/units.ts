/** Records of the engine with each figure in its unit, by the names that orders, fills, bars and settings have there. */
import { baseOf, inUnit, pair, quoteOf, share } from "../ui/format";

export type Known = Record<string, unknown>;
const BASE = new Set(["quantity", "filled", "remaining", "volume", "size", "bid_size", "ask_size"]);
/** Prices, distances of prices and money. */
const QUOTE = new Set([
  "open", "high", "low", "close", "price", "trigger", "decision_price", "expected", "average_price", "bid", "ask", "mark",
  "stop", "take_profit", "trailing", "break_even", "amount", "fee_worth",
]);
const SHARES = new Set(["strength", "confidence", "fraction", "risk", "volatility", "kelly_cap", "max_fraction"]);
const SECONDS = new Set(["expire_after"]);

/** Return what is known about an instrument, with units; `fee` is told in its own asset. */
export function inUnits(of: Known, instrument: string): Known {
  const { fee, fee_asset: feeAsset, ...rest } = of;
  const told = Object.entries(rest).map(([name, value]) => [name, unitOf(name, value, instrument)]);
  return { ...Object.fromEntries(told), ...(fee === undefined ? {} : { fee: inUnit(fee as string, String(feeAsset ?? "")) }) };
}

/** What says nothing to people: moments in nanoseconds, and ids. */
const INNER = new Set(["ts", "id", "order_id"]);

/** Return what an event of the engine says, such as a fill, a trade or a quote, as people read it. */
export function seenOf(event: Known, instrument: string): Known {
  const { fill, ...rest } = event;
  const all = Object.entries({ ...rest, ...(fill as Known | undefined) }).filter(([name]) => !INNER.has(name));
  const of = typeof (fill as Known | undefined)?.instrument === "string" ? String((fill as Known).instrument) : String(event.instrument ?? instrument);
  return inUnits(Object.fromEntries(all.map(([name, value]) => [name, name === "instrument" ? pair(of) : value])), of);
}

function unitOf(name: string, value: unknown, instrument: string): unknown {
  if (value === null || value === undefined || value === "") return value;
  if (typeof value === "object") return Array.isArray(value) ? value : inUnits(value as Known, instrument);
  if (typeof value === "number") return figureOf(name, Number(value.toPrecision(12)), instrument); // without the noise of floats
  return typeof value === "string" ? figureOf(name, value, instrument) : value;
}

function figureOf(name: string, value: number | string, instrument: string): number | string {
  if (BASE.has(name)) return inUnit(value, baseOf(instrument));
  if (QUOTE.has(name)) return inUnit(value, quoteOf(instrument));
  if (SHARES.has(name)) return share(value);
  return SECONDS.has(name) ? inUnit(value, "s") : value;
}
