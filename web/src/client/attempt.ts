/**
 * What must be done once, however often it is asked for: the id under which it is asked stays the same for as long as
 * nobody knows what became of it. That is remembered here and not in a form, which may be closed and opened again, and
 * in the tab, which may be loaded anew.
 */
import { codeOf } from "./api";

/** Something that was asked for. `isOpen` says that it may have been done; `at` is when it was asked for, in ms. */
export interface Doubt {
  id: string;
  at: number;
  of: Record<string, unknown>;
  isOpen: boolean;
}
const PLACE = "abidance.doubts";
/** Milliseconds after which a doubt is let go: by then a person has seen what is there. */
const LASTS = 86_400_000;
/** Answers by which nothing was done this time, whatever became of it before. */
const NOT_NOW = [400, 401, 403, 404, 413, 415, 421, 422, 429];
const NOT_DONE = ["not_audited", "not_running"];
/** A 409 with any other code says what the bot or its risk made of the id. */
const UNSURE = ["", "no_answer", "refused_by_node"];

let doubts: Record<string, Doubt> = {};

/** Take up what the tab remembers: whoever was not answered before may have been heard. */
export function remember(now = Date.now()): void {
  try {
    const kept = Object.entries(JSON.parse(sessionStorage.getItem(PLACE) ?? "{}") as Record<string, Doubt>);
    doubts = Object.fromEntries(kept.filter(([, each]) => now - each.at < LASTS).map(([text, each]) => [text, { ...each, isOpen: true }]));
  } catch {
    doubts = {}; // no storage, or not ours
  }
}
remember();

function keep(next: Record<string, Doubt>): void {
  doubts = next;
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(doubts));
  } catch {
    // without storage it is remembered until the page is left
  }
}

function without(text: string): Record<string, Doubt> {
  return Object.fromEntries(Object.entries(doubts).filter(([each]) => each !== text));
}

/** Asks of one kind, such as orders by hand in one run. */
export class Attempt {
  private last = "";

  constructor(private readonly kind: string) {}

  /** Return the id under which to ask: that of an earlier time which said the same and has no sure answer. */
  id(of: object): string {
    this.last = JSON.stringify([this.kind, of]);
    const found = doubts[this.last] ?? { id: crypto.randomUUID(), at: Date.now(), of: { ...of }, isOpen: false };
    keep({ ...doubts, [this.last]: found });
    return found.id;
  }

  /** Take note of an answer to what was asked last (null), or of the error that came in its place. */
  answered(error: unknown): void {
    const found = doubts[this.last];
    if (!found) return;
    const status = (error as { status?: number } | null)?.status ?? 0;
    const code = codeOf(error);
    const isNothing = NOT_NOW.includes(status) || (status === 409 && NOT_DONE.includes(code));
    const isSure = error === null || (status === 409 && !isNothing && !UNSURE.includes(code));
    if (isSure || (isNothing && !found.isOpen)) keep(without(this.last));
    else keep({ ...doubts, [this.last]: { ...found, isOpen: true } });
  }

  /** What was asked of which nobody knows what became, oldest first. */
  get open(): Doubt[] {
    const own = `${JSON.stringify([this.kind]).slice(0, -1)},`;
    return Object.entries(doubts).filter(([text, each]) => each.isOpen && text.startsWith(own)).map(([, each]) => each);
  }

  /** Let all doubts go: a person has seen what became of it. */
  forget(): void {
    for (const { id } of this.open) keep(Object.fromEntries(Object.entries(doubts).filter(([, each]) => each.id !== id)));
  }
}
