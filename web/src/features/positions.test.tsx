import { isValidElement, type ReactElement } from "react";
import { expect, it } from "vitest";
import type { Run } from "../app/Shell";
import type { Schemas } from "../client/api";
import { positionColumns } from "./columns";

const BTC = "BTC/USDT@BINANCE";
const run = { instruments: [BTC, "ETH/USDT@BINANCE"] } as Run;
const held = (quantity: string) => ({ instrument: BTC, quantity, average_price: "60000", price: 60_100, unrealised: 50 }) as Schemas["PositionOut"];

/** The gain that stands in the row of a position. */
function shown(row: Schemas["PositionOut"], prices?: Record<string, number>): unknown {
  const cell = positionColumns(run, prices).find((each) => each.name === "P&L, USDT")?.cell(row);
  return isValidElement(cell) ? (cell as ReactElement<{ of: unknown }>).props.of : cell;
}

it.each([
  ["0.5", 60_200, 100],
  ["0.5", 59_000, -500],
  ["-0.5", 60_200, -100],
])("shows the gain of %s held since 60,000 at the last price of %d", (quantity, price, gain) => {
  expect(shown(held(quantity), { [BTC]: price })).toBeCloseTo(gain, 9);
});

it("shows the gain that was read while no price has come", () => {
  expect(shown(held("0.5"))).toBe(50);
  expect(shown(held("0.5"), { "ETH/USDT@BINANCE": 3_000 })).toBe(50);
});
