/** How a run stands, in the words that are said of it everywhere. */
import type { Schemas } from "../client/api";
import { usageLabel, usageText } from "./columns";
import { isFresh } from "./Trouble";

type Run = Schemas["RunOut"];

/** A bot that does not run stands nowhere, whatever its record says last; one that is not read to its end neither. */
export function stateOf(run: Run): string {
  if (!run.is_running) return "stopped";
  return isFresh(run) ? run.standing.state : "unknown";
}

const lowered = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

/** Limits at which no entry passes, whatever it is of. */
const OF_ALL = new Set(["max_exposure", "max_borrowed"]);

/** What may pass now: what risk itself says of its standing, and of its limits. */
export function passing(run: Run, { standing, usage }: Pick<Schemas["RiskOut"], "standing" | "usage">): string {
  if (!run.is_running) return "It is stopped: no order leaves until it runs again.";
  if (standing.reason) return standing.reason;
  const spent = usage.filter((each) => each.is_spent);
  const told = (of: typeof spent) => `${of.map((each) => `${lowered(usageLabel(each))} ${usageText(each)}`).join(", ")}.`;
  const ofAll = spent.filter((each) => OF_ALL.has(each.name));
  if (ofAll.length > 0) return `Exits may pass; entries are refused: ${told(ofAll)}`;
  return spent.length > 0 ? `Exits may pass; of entries, those are refused that add to ${told(spent)}` : "Entries and exits may pass.";
}
