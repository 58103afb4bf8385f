import { expect, it } from "vitest";
import { formed, lengthOf } from "./forming";

const MINUTE = 60_000;

it("forms the candle after the newest bar from the prices that come, and begins another one after it", () => {
  const first = formed(null, 0, MINUTE, 100, 61_000);
  const then = formed(formed(first, 0, MINUTE, 104, 70_000), 0, MINUTE, 99, 80_000);

  expect(first).toEqual({ ts: MINUTE, since: 61_000, open: 100, high: 100, low: 100, close: 100 });
  expect(then).toEqual({ ts: MINUTE, since: 61_000, open: 100, high: 104, low: 99, close: 99 });
  expect(formed(then, MINUTE, MINUTE, 98, 125_000)).toEqual({ ts: 2 * MINUTE, since: 125_000, open: 98, high: 98, low: 98, close: 98 });
});

it("forms nothing of a price that belongs to a bar that has closed, or that is not there", () => {
  expect(formed(null, MINUTE, MINUTE, 100, 120_000)).toBeNull();
  expect(formed(null, MINUTE, MINUTE, 100, 30_000)).toBeNull();
  expect(formed(null, undefined, MINUTE, 100, 130_000)).toBeNull();
  expect(formed(null, 0, MINUTE, null, 130_000)).toBeNull();
  expect(formed(null, 0, lengthOf("1M"), 100, 130_000)).toBeNull();
});

it("knows how long a timeframe is", () => {
  expect(["30s", "5m", "1h", "1d", "1w", "1M", ""].map(lengthOf)).toEqual([30_000, 300_000, 3_600_000, 86_400_000, 604_800_000, 0, 0]);
});
