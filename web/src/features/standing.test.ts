import { expect, it } from "vitest";
import type { Schemas } from "../client/api";
import { passing, stateOf } from "./standing";

type Run = Schemas["RunOut"];
const run = { is_running: true, is_current: true, problem: "", standing: { state: "active", code: null, reason: "" } } as unknown as Run;
const limit = (name: string, used: number, most: number, isSpent: boolean) => ({ name, used, limit: most, is_spent: isSpent });
const open = run.standing;

it("never says that entries may pass while a limit refuses all of them", () => {
  const usage = [limit("max_exposure", 0.525, 0.5, true), limit("max_positions", 5, 10, false), limit("max_asset_exposure BTC", 0.525, 0.5, true)];

  expect(passing(run, { standing: open, usage })).toBe("Exits may pass; entries are refused: exposure 52.5 % of 50.0 %.");
});

it("names the entries that a limit of a part refuses", () => {
  const usage = [limit("max_exposure", 0.4, 0.5, false), limit("max_positions", 5, 5, true), limit("max_asset_exposure BTC", 0.3, 0.25, true)];

  expect(passing(run, { standing: open, usage })).toBe("Exits may pass; of entries, those are refused that add to positions 5 of 5, asset BTC 30.0 % of 25.0 %.");
  expect(passing(run, { standing: open, usage: [limit("max_exposure", 0.4, 0.5, false)] })).toBe("Entries and exits may pass.");
});

it("says of a bot that does not run that it is stopped, whatever its record says last", () => {
  const stopped = { ...run, is_running: false };

  expect(stateOf(stopped)).toBe("stopped");
  expect(passing(stopped, { standing: open, usage: [] })).toBe("It is stopped: no order leaves until it runs again.");
  expect([stateOf(run), stateOf({ ...run, is_current: false })]).toEqual(["active", "unknown"]);
});
