/** The life of an order as people read it: changes that follow one another are one line, to be unfolded. */
import type { Schemas } from "../client/api";
import { exact, type Figure, many } from "../ui/format";

type Step = Schemas["StepOut"];
/** Changes of a resting order without anything else between them. */
export interface Changes {
  title: string;
  steps: Step[];
}

const CHANGES = new Set(["amend", "amended"]);
const STOPS = new Set(["stop_loss", "trailing_stop", "break_even"]);

/** Return the steps, runs of changes as one; the first step holds what was asked for. */
export function folded(steps: readonly Step[]): (Step | Changes)[] {
  const found: (Step | Changes)[] = [];
  let asked: Wish = {};
  for (let at = 0; at < steps.length; ) {
    const step = steps[at] as Step;
    let end = at;
    while (end < steps.length && CHANGES.has(steps[end]?.kind ?? "")) end += 1;
    const run = steps.slice(at, end);
    found.push(run.length ? { title: titled(asked, run), steps: run } : step);
    asked = run.length ? run.reduce(after, asked) : { ...asked, ...((step.data.request as Wish | undefined) ?? {}) };
    at = Math.max(end, at + 1);
  }
  return found;
}

interface Wish {
  purpose?: string;
  trigger?: Figure;
  price?: Figure;
  quantity?: Figure;
}

const after = (before: Wish, { data }: Step): Wish => ({
  ...before,
  trigger: (data.trigger as Figure) ?? before.trigger,
  price: (data.price as Figure) ?? before.price,
  quantity: (data.quantity as Figure) ?? before.quantity,
});

function titled(before: Wish, run: Step[]): string {
  const now = run.reduce(after, before);
  const count = run.filter((each) => each.kind === "amend").length || run.length;
  const times = count === 1 ? "once" : many(count, "time");
  const [from, to] = before.trigger ? [before.trigger, now.trigger] : [before.price, now.price];
  const moved = exact(from) !== exact(to) && `, from ${exact(from)} to ${exact(to)}`;
  const sized = exact(before.quantity) !== exact(now.quantity) && `, ${moved ? "the quantity " : ""}from ${exact(before.quantity)} to ${exact(now.quantity)}`;
  const word = moved ? (before.trigger && STOPS.has(before.purpose ?? "") ? "Trailed" : "Moved") : sized ? "Resized" : "Changed";
  return `${word} ${times}${moved || ""}${sized || ""}`;
}
