/** How numbers and times are written, in one place. */

const MONEY = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const SIGNED = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" });
/** Of what is less than a cent, such as gains in bitcoin, the digits that say something. */
const FINE = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 8 });
const SIGNED_FINE = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 8, signDisplay: "exceptZero" });
const isFine = (amount: number) => Math.abs(amount) < 0.005;
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** What was typed as a number; a text that is none, or is too long for one, stays as it is. */
export function numeral(text: string): number | string {
  const found = Number(text);
  return /^-?(\d+\.?\d*|\.\d+)$/.test(text.trim()) && Number.isFinite(found) ? found : text.trim();
}

/** What a field for a number holds, to be sent as that many of `unit`: nothing goes as null, and a text as it is, both to be told of. */
export function typed(field: number | string, unit = 1): number {
  if (typeof field === "number") return Number((field * unit).toPrecision(15));
  return (field === "" ? null : field) as unknown as number;
}

/** What a field for a number shows: what was typed, as long as that is what it holds. */
export const inField = (text: string, value: number | string) => (numeral(text) === value ? text : String(value));

/** Digits that numbers of the browser hold for sure. */
const CERTAIN = 15;

/** A number that was typed, moved by one of its last digit; null for a text that is none, or has more digits than can be moved. */
export function stepped(text: string, by: 1 | -1): string | null {
  const found = numeral(text);
  if (typeof found !== "number" || text.replace(/\D/g, "").length > CERTAIN) return null;
  const digits = text.trim().split(".")[1]?.length ?? 0;
  return (found + by * 10 ** -digits).toFixed(digits).replace(/^-(?=[0.]+$)/, "");
}

export type Figure = number | string | null | undefined;

function value(figure: Figure): number | null {
  if (figure === null || figure === undefined || figure === "") return null;
  const found = Number(figure);
  return Number.isFinite(found) ? found : null;
}

export function money(figure: Figure): string {
  const found = value(figure);
  return found === null ? "–" : (isFine(found) ? FINE : MONEY).format(found);
}

export function gain(figure: Figure): string {
  const found = value(figure);
  return found === null ? "–" : (isFine(found) ? SIGNED_FINE : SIGNED).format(found);
}

export function whole(figure: Figure): string {
  const found = value(figure);
  return found === null ? "–" : WHOLE.format(found);
}

/** A number with so many digits; what is nothing in them is no less than nothing. */
const fixed = (figure: number, digits: number) => figure.toFixed(digits).replace(/^-(?=[0.]+$)/, "");

export function share(figure: Figure, digits = 1): string {
  const found = value(figure);
  return found === null ? "–" : `${fixed(found * 100, digits)} %`;
}

/** How much of something is there: cut and never rounded up, so that all of it is said of all of it alone. */
export function wholeness(figure: Figure): string {
  const found = value(figure);
  return found === null ? "–" : `${(Math.floor(found * 10_000 + 1e-6) / 100).toFixed(2)} %`;
}

export function signedShare(figure: Figure, digits = 2): string {
  const found = value(figure);
  if (found === null) return "–";
  const text = fixed(found * 100, digits);
  return `${found > 0 ? "+" : ""}${text} %`;
}

/** So many of something. */
export const many = (count: number, what: string) => `${whole(count)} ${what}${count === 1 ? "" : "s"}`;

/** A number without an exponent. */
const plain = (figure: number) => (/e/.test(String(figure)) ? figure.toLocaleString("en", { useGrouping: false, maximumSignificantDigits: 17 }) : String(figure));

/** A price or quantity as the venue writes it: exact digits, grouped. */
export function exact(figure: Figure): string {
  if (figure === null || figure === undefined || figure === "") return "–";
  const text = typeof figure === "number" ? plain(figure) : figure;
  if (/e/i.test(text)) return text;
  const [head = "", tail] = text.split(".");
  const sign = head.startsWith("-") ? "-" : "";
  const grouped = head.replace("-", "").replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const rest = tail?.replace(/0+$/, "");
  return `${sign}${grouped}${rest ? `.${rest}` : ""}`;
}

/** An amount in few digits, cut and never rounded up, so that no more is shown than is there. */
export function brief(figure: Figure, digits = 8): string {
  const text = exact(figure);
  const [head = "", tail = ""] = text.split(".");
  const whole = head.replace(/\D/g, "").replace(/^0+/, "").length;
  const zeros = whole ? 0 : (/^0*/.exec(tail)?.[0].length ?? 0);
  const kept = tail.slice(0, Math.max(2, digits - whole) + (whole ? 0 : zeros)).replace(/0+$/, "");
  return kept ? `${head}.${kept}` : head;
}

/** Digits behind the point of numbers that are written in such steps. */
export const digitsOf = (step: Figure) => exact(step).split(".")[1]?.length ?? 0;

const withDigits = (head: string, tail: string, digits: number) => (digits > 0 ? `${head}.${tail.slice(0, digits).padEnd(digits, "0")}` : head);

/** A number in the digits of its step, so that a column lines up; one that has more of them keeps them. */
export function toStep(figure: Figure, step: Figure): string {
  const [head = "", tail = ""] = exact(figure).split(".");
  return value(figure) === null ? head : withDigits(head, tail, Math.max(digitsOf(step), tail.length));
}

/** A step that is a larger part of a price than this says too little of a mean, which has so many digits more. */
const [COARSE, MORE] = [0.001, 2];

/** A mean of prices in the digits of their step, cut and never rounded up; where the step is coarse in some more. */
export function mean(figure: Figure, step: Figure): string {
  if (value(figure) === null || value(step) === null) return brief(figure);
  const [head = "", tail = ""] = exact(figure).split(".");
  const isCoarse = Number(step) > COARSE * Math.abs(Number(figure));
  return withDigits(head, tail, digitsOf(step) + (isCoarse ? MORE : 0));
}

/** A number with so many digits behind the point, grouped. */
export const grouped = (figure: number, digits: number) => figure.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export function pair(instrument: string): string {
  return instrument.split("@")[0] ?? instrument;
}

/** The currency in which an instrument is priced, and in which its gains and fees are counted. */
export function quoteOf(instrument: string): string {
  const [, quote = ""] = pair(instrument).split("/");
  return quote.split(":")[0] ?? "";
}

/** What is bought and sold, and in which quantities are counted. */
export function baseOf(instrument: string): string {
  return pair(instrument).split("/")[0] ?? "";
}

/** The one unit of all of them; empty where they differ. */
export function sharedUnit(instruments: readonly string[], unitOf: (instrument: string) => string): string {
  const found = new Set(instruments.map(unitOf));
  return found.size === 1 ? ([...found][0] ?? "") : "";
}

/** A number in its unit; what is not known has none. */
export const inUnit = (figure: Figure, unit: string, write: (figure: Figure) => string = exact) => (value(figure) === null ? "–" : `${write(figure)} ${unit}`.trim());

/** How large a file is. */
export const sized = (bytes: number) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** What a field for money holds, as it was read: a large amount can be checked before it is sent. */
export const reading = (field: number | string, unit: string) => (typeof field === "number" ? inUnit(field, unit) : "\u00a0");

/** What amounts add up to in each currency: what is counted in different ones is never one sum. */
export function sums<T extends { instrument: string }>(rows: readonly T[], amount: (row: T) => Figure): [string, number][] {
  const found = new Map<string, number>();
  for (const row of rows) found.set(quoteOf(row.instrument), (found.get(quoteOf(row.instrument)) ?? 0) + (value(amount(row)) ?? 0));
  return [...found].sort(([one], [other]) => one.localeCompare(other));
}

/** UTC, as the whole product speaks; `local` is for a hover. */
export function utc(ms: number | null | undefined): string {
  if (!ms) return "–";
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export function local(ms: number | null | undefined): string {
  return ms ? `${LOCAL.format(ms)}, your time` : "";
}

const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

/** A moment of a chart under the pointer: in UTC, and in local time where that is another one. */
export function pointed(ms: number): string {
  const here = new Date(ms).getTimezoneOffset() === 0 ? "" : `, ${SHORT.format(ms)} your time`;
  return `${utc(ms).slice(0, 16)} UTC${here}`;
}

/** How long something took, in its two largest units. */
export function lasting(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3_600), Math.floor(seconds / 86_400)];
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

export function tone(figure: Figure): "up" | "down" | undefined {
  const found = value(figure);
  if (found === null || found === 0) return undefined;
  return found > 0 ? "up" : "down";
}

export function words(code: string): string {
  const text = code.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
