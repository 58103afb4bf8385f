/** What must be done once, however often it is asked for: the id under which it is asked, kept while nobody knows what became of it. */
import { codeOf } from "./api";

/** A 409 with any other code says what the bot or its risk made of the id; with one of these, an earlier time may have come through. */
const UNSURE = ["", "refused_by_node", "not_running"];

/** Whether an answer proves that nothing was done. */
function isRefusal(error: unknown): boolean {
  const status = (error as { status?: number } | null)?.status;
  return status === 422 || (status === 409 && !UNSURE.includes(codeOf(error)));
}

export class Attempt {
  private last: { of: string; id: string } | null = null;

  /** Return the id under which to ask: the one of the last time while that says the same and has no sure answer. */
  id(of: object): string {
    const text = JSON.stringify(of);
    if (this.last?.of !== text) this.last = { of: text, id: crypto.randomUUID() };
    return this.last.id;
  }

  /** Take note of an answer (null), or of the error that came in its place. */
  answered(error: unknown): void {
    if (error === null || isRefusal(error)) this.last = null;
  }

  /** Whether something was asked of which nobody knows what became. */
  get isInDoubt(): boolean {
    return this.last !== null;
  }
}
