/** Lines of a log as people read them: what was ordered comes first, figures have names and units, moments are moments. */
import { baseOf, inUnit, lasting, pair, quoteOf, words } from "../ui/format";
import { written } from "../ui/parts";
import { inUnits, type Known } from "./units";

/** What every line says alike. */
const COMMON = new Set(["run", "bot", "logger"]);
/** What says nothing to people in a line: moments in nanoseconds, and ids, which stand in the line that is opened. */
const isInner = (name: string) => name === "ts" || /(^|_)id$/.test(name);
const isKnown = (value: unknown) => value !== null && value !== undefined && value !== "";
const NANOSECONDS = /_ns$/;

interface Line {
  event: string;
  data: Known;
}

/** Return what a line says, in one sentence that begins with what matters. */
export function spoken({ event, data }: Line): string {
  const order = event === "command" ? ordered(data) : "";
  if (order) return order;
  const { reason, text, ...rest } = Object.fromEntries(Object.entries(data).filter(([name]) => !COMMON.has(name)));
  const told = Object.entries(figures(rest)).map(([name, value]) => `${name.replaceAll("_", " ")} ${written(value)}`);
  return [reason, text, told.join(", ")].filter(isKnown).map(String).join(" · ");
}

/** Return all that a line holds, by name: a command as one list with what it is about, and no moment as a bare number. */
export function opened({ event, data }: Line): Known {
  const { command, ...rest } = data;
  if (event !== "command" || typeof command !== "object") return figures(data, true);
  const { request, type, ...wish } = command as Known;
  return figures({ command: type, ...rest, ...(request as Known | undefined), ...wish }, true);
}

/** Return what a command asks of a venue, as `Amend BTC/USDT stop loss → 95,000 USDT, 0.01 BTC, Trend`. */
function ordered(data: Known): string {
  if (typeof data.command !== "object" || data.command === null) return "";
  const { type, request, ...change } = data.command as Known;
  const of = { ...data, ...(request as Known | undefined), ...change };
  const [instrument, kind] = [String(of.instrument ?? ""), words(String(of.purpose ?? "")).toLowerCase()];
  const [base, quote] = [baseOf(instrument), quoteOf(instrument)];
  const amount = isKnown(of.quantity) ? inUnit(String(of.quantity), base) : "";
  const goals = [of.trigger, of.price].filter(isKnown).map((each) => inUnit(String(each), quote));
  const named = [words(String(type)), pair(instrument), kind].filter(Boolean).join(" ");
  const wished =
    type === "submit"
      ? `: ${[of.side, amount, goals.length > 0 ? `at ${goals.join(", limit ")}` : "at market"].filter(isKnown).join(" ")}`
      : [...goals, amount].filter(Boolean).length > 0
        ? ` → ${[...goals, amount].filter(Boolean).join(", ")}`
        : "";
  return [named + wished, of.strategy].filter(isKnown).join(", ");
}

/** Return figures in their units, as far as it is known of what they are; `withIds` where a line is opened. */
function figures(of: Known, withIds = false): Known {
  const instrument = String(of.instrument ?? "");
  const named = Object.entries(of)
    .filter(([name, value]) => isKnown(value) && !(withIds ? name === "ts" || COMMON.has(name) : isInner(name)))
    .map(([name, value]) => [name.replace(NANOSECONDS, ""), NANOSECONDS.test(name) ? lasted(value) : name === "instrument" ? pair(instrument) : value]);
  return instrument ? inUnits(Object.fromEntries(named), instrument) : Object.fromEntries(named);
}

/** Nanoseconds as people count time; of what holds them too. */
function lasted(value: unknown): unknown {
  if (typeof value === "number") return lasting(value / 1e6);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, name === "count" ? each : lasted(each)]));
}
