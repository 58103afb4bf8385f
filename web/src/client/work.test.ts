import { expect, it } from "vitest";
import type { Schemas } from "./api";
import type { Told, WorkKind } from "./stream";
import { standing } from "./work";

type Job = Schemas["JobOut"];
const job = (id: string, created: number, state: string) => ({ id, created, state }) as Job;
const told = (kind: WorkKind, data: Job): Told => ({ number: 1, kind, data });
const shown = (rows: Job[]) => rows.map((each) => `${each.id} ${each.state}`);

it("shows work as it was told last, whatever was read before", () => {
  const rows = [job("b", 2, "running"), job("a", 1, "queued")];

  expect(shown(standing(rows, [told("backtest", job("a", 1, "running")), told("backtest", job("b", 2, "done"))], "backtest"))).toEqual(["b done", "a running"]);
});

it("shows work that was asked for since, and none of another kind", () => {
  const rows = [job("a", 1, "done")];
  const news = [told("backtest", job("c", 3, "queued")), told("search", job("d", 4, "queued")), told("backtest", job("b", 2, "running"))];

  expect(shown(standing(rows, news, "backtest"))).toEqual(["c queued", "b running", "a done"]);
  expect(standing(rows, news).map((each) => each.kind)).toEqual(["search", "backtest", "backtest", undefined]);
});

it("shows no work that is older than the list goes back", () => {
  expect(shown(standing([job("c", 3, "done")], [told("backtest", job("a", 1, "cancelled"))], "backtest"))).toEqual(["c done"]);
});

it("shows work where none was read", () => {
  expect(shown(standing([], [told("backtest", job("a", 1, "queued"))], "backtest"))).toEqual(["a queued"]);
});
