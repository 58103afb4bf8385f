import { describe, expect, it } from "vitest";
import { inUnits, seenOf } from "./units";

describe("a record of the engine", () => {
  it("tells each figure in its unit, and what is no figure as it is", () => {
    const request = { strategy: "A", quantity: "0.10", price: null, decision_price: "61000.5", confidence: 0.8, type: "market", reduce_only: false, protection: { stop: 500, trailing: null } };

    const told = inUnits(request, "BTC/USDT:USDT@BYBIT");

    expect(told).toEqual({ ...request, type: "Market", quantity: "0.1 BTC", decision_price: "61,000.5 USDT", confidence: "80.0 %", protection: { stop: "500 USDT", trailing: null } });
  });

  it("tells codes in words, and floats that are prices in the steps of the instrument", () => {
    const request = { purpose: "stop_loss", type: "stop_limit", time_in_force: "gtc", trigger: "94.21000", protection: { stop: 4.739999999 } };

    const told = inUnits(request, "SOL/USDT@BINANCE", "0.01");

    expect(told).toEqual({ purpose: "Stop loss", type: "Stop limit", time_in_force: "Until cancelled", trigger: "94.21 USDT", protection: { stop: "4.74 USDT" } });
    expect(inUnits({ volume: 12.3456, amount: 1.23456 }, "SOL/USDT@BINANCE", "0.01")).toEqual({ volume: "12.3456 SOL", amount: "1.23456 USDT" });
  });

  it("tells a fee in the asset in which it is paid", () => {
    expect(inUnits({ price: "0.05", fee: "0.001", fee_asset: "BNB" }, "ETH/BTC@BINANCE")).toEqual({ price: "0.05 BTC", fee: "0.001 BNB" });
    expect(inUnits({ fee: "0.001", fee_asset: "BNB", fee_worth: "0.61" }, "BTC/USDT@BINANCE")).toEqual({ fee: "0.001 BNB", fee_worth: "0.61 USDT" });
    expect(inUnits({ stop: 968.94442800825148 }, "BTC/USDT@BINANCE")).toEqual({ stop: "968.944428008 USDT" });
    expect(inUnits({ volume: 12 }, "ETH/BTC@BINANCE")).toEqual({ volume: "12 ETH" });
  });

  it("tells of fills, trades and quotes what was seen, and neither ids nor nanoseconds", () => {
    const ts = 1_735_689_600_000_000_000;
    const fill = { id: "t1", order_id: "o1", instrument: "BTC/USDT@BINANCE", strategy: "A", side: "buy", quantity: "0.5", price: "61000", fee: "0.1", fee_asset: "BNB", ts, is_maker: false, purpose: "entry" };

    expect(seenOf({ ts, fill }, "ETH/USDT@BINANCE")).toEqual({ instrument: "BTC/USDT", strategy: "A", side: "Buy", quantity: "0.5 BTC", price: "61,000 USDT", fee: "0.1 BNB", is_maker: false, purpose: "Entry" });
    expect(seenOf({ ts, instrument: "BTC/USDT@BINANCE", price: 61_000, size: 0.25, buyer_is_taker: true, id: "7" }, "BTC/USDT@BINANCE")).toEqual({ instrument: "BTC/USDT", price: "61,000 USDT", size: "0.25 BTC", buyer_is_taker: true });
    expect(seenOf({ ts, instrument: "BTC/USDT@BINANCE", bid: 1, bid_size: 2, ask: 3, ask_size: 4 }, "BTC/USDT@BINANCE")).toEqual({ instrument: "BTC/USDT", bid: "1 USDT", bid_size: "2 BTC", ask: "3 USDT", ask_size: "4 BTC" });
  });
});
