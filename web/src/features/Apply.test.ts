import { expect, test } from "vitest";
import { changesOf, settingOf } from "./Apply";

const config = { instruments: ["BTC/USDT@BINANCE"], timeframe: "1h", strategies: [{ strategy: "EmaCross", parameters: { fast: 12, slow: 26, trend: 200 } }] };

test("a trial is applied with what it chose, and with what its search left as it was", () => {
  expect(settingOf(config, { fast: 5, slow: 30 })).toEqual({
    strategy: "EmaCross", instruments: ["BTC/USDT@BINANCE"], timeframe: "1h", parameters: { fast: 5, slow: 30, trend: 200 },
  });
});

test("what several strategies found together is no setting of one", () => {
  expect(settingOf({ ...config, strategies: [...config.strategies, ...config.strategies] }, { "EmaCross.fast": 5 })).toBeNull();
});

test("what a running strategy would be told otherwise is named", () => {
  expect(changesOf({ fast: 12, slow: 30, trend: 200 }, { fast: 5, slow: 30, trend: 200 })).toEqual(["fast 12 → 5"]);
  expect(changesOf({ fast: 5, is_quick: true }, { fast: 5, is_quick: true })).toEqual([]);
});
