import { expect, test } from "vitest";
import { finest } from "./rules";

test("fills that come without steps are written in the finest that any of an instrument has", () => {
  const fills = [
    { instrument: "BTC/USDT@BINANCE", price: 61_000.1, quantity: 0.5 },
    { instrument: "BTC/USDT@BINANCE", price: 61_000.25, quantity: 0.016 },
    { instrument: "BTC/USDT@BINANCE", price: 61_000, quantity: 1 },
    { instrument: "SOL/USDT@BINANCE", price: 120, quantity: 3 },
  ];

  expect(finest(fills)).toEqual(new Map([
    ["BTC/USDT@BINANCE", { tick: 0.01, lot: 0.001 }],
    ["SOL/USDT@BINANCE", { tick: 1, lot: 1 }],
  ]));
});
