import { expect, it } from "vitest";
import type { Schemas } from "../client/api";
import { signalsOf } from "./Strategies";

const order = (ts: number) => ({ id: `o${ts}`, ts, state: "filled", confidence: 0.5 }) as Schemas["OrderOut"];
const refusal = (ts: number, instrument = "BTC/USDT@BINANCE") => ({ seq: 7, ts, instrument, code: "max_exposure", reason: "Too much.", confidence: 0.25 }) as Schemas["RefusalOut"];

it("tells signals that risk refused among those that became orders, the newest first", () => {
  const found = signalsOf([order(30), order(10)], [refusal(40), refusal(20)]);

  expect(found.map((each) => [each.ts, each.order, each.became, each.confidence])).toEqual([
    [40, "", "max_exposure", 0.25],
    [30, "o30", "filled", 0.5],
    [20, "", "max_exposure", 0.25],
    [10, "o10", "filled", 0.5],
  ]);
});

it("keeps forty of them, each by a key of its own", () => {
  const found = signalsOf([], Array.from({ length: 60 }, (_, at) => refusal(at)));

  expect(found).toHaveLength(40);
  expect(new Set(found.map((each) => each.key)).size).toBe(40);
});
