import { describe, expect, it } from "vitest";
import { inUnits } from "./units";

describe("a record of the engine", () => {
  it("tells each figure in its unit, and what is no figure as it is", () => {
    const request = { strategy: "A", quantity: "0.10", price: null, decision_price: "61000.5", confidence: 0.8, type: "market", reduce_only: false, protection: { stop: 500, trailing: null } };

    const told = inUnits(request, "BTC/USDT:USDT@BYBIT");

    expect(told).toEqual({ ...request, quantity: "0.1 BTC", decision_price: "61,000.5 USDT", confidence: "80.0 %", protection: { stop: "500 USDT", trailing: null } });
  });

  it("tells a fee in the asset in which it is paid", () => {
    expect(inUnits({ price: "0.05", fee: "0.001", fee_asset: "BNB" }, "ETH/BTC@BINANCE")).toEqual({ price: "0.05 BTC", fee: "0.001 BNB" });
    expect(inUnits({ volume: 12 }, "ETH/BTC@BINANCE")).toEqual({ volume: "12 ETH" });
  });
});
