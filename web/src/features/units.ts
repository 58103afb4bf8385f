/** Records of the engine with each figure in its unit, by the names that orders, fills, bars and settings have there. */
import { baseOf, digitsOf, type Figure, inUnit, pair, quoteOf, share, words } from "../ui/format";

export type Known = Record<string, unknown>;
const BASE = new Set(["quantity", "filled", "remaining", "volume", "size", "bid_size", "ask_size"]);
/** Prices and distances of prices; with money all that is counted in the quote currency. */
const PRICES = new Set([
  "open", "high", "low", "close", "price", "trigger", "decision_price", "expected", "average_price", "bid", "ask", "mark",
  "stop", "take_profit", "trailing", "break_even",
]);
const QUOTE = new Set([...PRICES, "amount", "fee_worth"]);
const SHARES = new Set(["strength", "confidence", "fraction", "risk", "volatility", "kelly_cap", "max_fraction"]);
const SECONDS = new Set(["expire_after"]);

/** What the engine says in codes, and what they mean where the code itself says too little. */
const CODES = new Set(["purpose", "side", "type", "time_in_force", "action", "state"]);
const MEANT: Record<string, string> = { gtc: "Until cancelled", ioc: "Now or never, in part", fok: "Now or never, in whole" };

/** Return what is known about an instrument, with units; `fee` is told in its own asset. Floats that are prices are told in steps of `tick`. */
export function inUnits(of: Known, instrument: string, tick?: Figure): Known {
  const { fee, fee_asset: feeAsset, ...rest } = of;
  const told = Object.entries(rest).map(([name, value]) => [name, unitOf(name, value, instrument, tick)]);
  return { ...Object.fromEntries(told), ...(fee === undefined ? {} : { fee: inUnit(fee as string, String(feeAsset ?? "")) }) };
}

/** What says nothing to people: moments in nanoseconds, and ids. */
const INNER = new Set(["ts", "id", "order_id"]);

/** Return what an event of the engine says, such as a fill, a trade or a quote, as people read it. */
export function seenOf(event: Known, instrument: string, tick?: Figure): Known {
  const { fill, ...rest } = event;
  const all = Object.entries({ ...rest, ...(fill as Known | undefined) }).filter(([name]) => !INNER.has(name));
  const of = typeof (fill as Known | undefined)?.instrument === "string" ? String((fill as Known).instrument) : String(event.instrument ?? instrument);
  return inUnits(Object.fromEntries(all.map(([name, value]) => [name, name === "instrument" ? pair(of) : value])), of, tick);
}

function unitOf(name: string, value: unknown, instrument: string, tick?: Figure): unknown {
  if (value === null || value === undefined || value === "") return value;
  if (typeof value === "object") return Array.isArray(value) ? value : inUnits(value as Known, instrument, tick);
  if (typeof value === "string" && CODES.has(name)) return MEANT[value] ?? words(value);
  if (typeof value === "number" && tick !== undefined && PRICES.has(name)) return figureOf(name, value.toFixed(digitsOf(tick)), instrument);
  if (typeof value === "number") return figureOf(name, Number(value.toPrecision(12)), instrument); // without the noise of floats
  return typeof value === "string" ? figureOf(name, value, instrument) : value;
}

function figureOf(name: string, value: number | string, instrument: string): number | string {
  if (BASE.has(name)) return inUnit(value, baseOf(instrument));
  if (QUOTE.has(name)) return inUnit(value, quoteOf(instrument));
  if (SHARES.has(name)) return share(value);
  return SECONDS.has(name) ? inUnit(value, "s") : value;
}
