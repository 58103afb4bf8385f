/** What this page brought about itself: bots tell of it as well, and who did it need not be told twice. */
import type { Schemas } from "./api";

/** Milliseconds in which a bot tells of what it was asked for. */
const SOON = 15_000;

interface Deed {
  run: string;
  code: string;
  until: number;
}
let deeds: Deed[] = [];

/** Note what a bot answered to something that was asked of it here. */
export function noteOwn(answer: unknown, asked: unknown, now = Date.now()): void {
  const run = (asked as { params?: { path?: { run?: string } } } | undefined)?.params?.path?.run;
  const answers = [answer].flat() as (Partial<Schemas["AnswerOut"]> | null)[];
  const told = run ? answers.flatMap((each) => each?.notices ?? []) : [];
  deeds = [...deeds.filter((each) => each.until > now), ...told.map(({ code }) => ({ run: run ?? "", code, until: now + SOON }))];
}

/** Whether an alert tells of what was done here; each deed is told of once. */
export function isOwn(alert: { run: string; code: string }, now = Date.now()): boolean {
  const at = deeds.findIndex((each) => each.run === alert.run && each.code === alert.code && each.until > now);
  if (at < 0) return false;
  deeds = deeds.filter((_, place) => place !== at);
  return true;
}
