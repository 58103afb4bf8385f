/** Days from which on and up to which a list is shown, and what its route is asked for them. */
const DAY = 86_400_000;
/** What is typed of a year begins with 0002: before this day nothing is meant. */
const FIRST = "1970-01-01";

export interface Days {
  from: string | null;
  to: string | null;
}

/** Return a day as its field and the address have it, null for what is none. */
export function dayOf(text: string | null): string | null {
  if (text === null || !/^\d{4}-\d\d-\d\d$/.test(text) || text < FIRST) return null;
  const ms = Date.parse(`${text}T00:00Z`);
  return Number.isNaN(ms) || written(ms) !== text ? null : text;
}

const written = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** Return from which moment on and before which one the days lie, both whole, in UTC; of days in the wrong order the server tells. */
export function momentsOf({ from, to }: Days): Record<string, string> {
  const [first, last] = [dayOf(from), dayOf(to)];
  const whole = first && last && first > last ? 0 : DAY;
  return {
    ...(first && { start: String(Date.parse(`${first}T00:00Z`)) }),
    ...(last && { end: String(Date.parse(`${last}T00:00Z`) + whole) }),
  };
}

const firstOf = (year: number, month: number) => written(Date.UTC(year, month, 1));
const lastOf = (year: number, month: number) => written(Date.UTC(year, month + 1, 0));

/** What is asked for most, at a moment: days of a name, the newest first. */
export function periodsAt(now: number): Record<string, Days> {
  const [today, year, month] = [written(now), new Date(now).getUTCFullYear(), new Date(now).getUTCMonth()];
  const since = (days: number) => written(now - (days - 1) * DAY);
  return {
    Today: { from: today, to: today },
    "Last 7 days": { from: since(7), to: today },
    "Last 30 days": { from: since(30), to: today },
    "This month": { from: firstOf(year, month), to: today },
    "Last month": { from: firstOf(year, month - 1), to: lastOf(year, month - 1) },
    "This year": { from: firstOf(year, 0), to: today },
    "Last year": { from: firstOf(year - 1, 0), to: lastOf(year - 1, 11) },
  };
}
