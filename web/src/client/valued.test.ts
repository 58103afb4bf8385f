import { expect, it } from "vitest";
import type { Schemas } from "./api";
import type { Prices } from "./stream";
import { atLastPrice, valued, valuedRisk } from "./valued";

const held = [
  { strategy: "A", instrument: "BTC", quantity: "0.5", unrealised: 50, price: 60_100 },
  { strategy: "B", instrument: "BTC", quantity: "-0.5", unrealised: -50, price: 60_100 },
];
const told = (positions: object[]) => ({ run: "bot", now: 1, prices: {}, worth: { positions } }) as unknown as Prices;

it("puts on each row what the stream told of it, and on no other", () => {
  const found = valued("positions", held, told([{ strategy: "B", instrument: "BTC", unrealised: -70, price: 60_140 }]));

  expect(found[0]).toEqual(held[0]);
  expect(found[1]).toEqual({ strategy: "B", instrument: "BTC", quantity: "-0.5", unrealised: -70, price: 60_140 });
});

it("adds no row: what is held is for those to say who read it, since orders are sized by it", () => {
  expect(valued("positions", [], told([{ strategy: "A", instrument: "ETH", unrealised: 1 }]))).toEqual([]);
});

it("leaves rows as they were read before anything was told", () => {
  expect(valued("positions", held, null)).toBe(held);
});

it("tells where risk stands as of the last price, each strategy too, and leaves the limits as they were read", () => {
  const [active, paused] = [{ state: "active" }, { state: "paused" }];
  const risk = { standing: paused, strategies: { A: paused }, usage: [{ name: "max_exposure", used: 0.1, limit: 0.5 }] } as unknown as Schemas["RiskOut"];
  const prices = { worth: { run: { standing: active }, strategies: [{ name: "A", standing: active }], usage: [{ name: "max_exposure", used: 0.2 }] } } as unknown as Prices;

  expect(valuedRisk(risk, prices)).toEqual({ standing: active, strategies: { A: active }, usage: [{ name: "max_exposure", used: 0.2, limit: 0.5 }] });
  expect(valuedRisk(risk, null)).toBe(risk);
});

it("never tells a price beside the moment of another one: what rests keeps its own", () => {
  const [read, rests] = [{ id: "BTC", price: 99_666, price_ts: 10 }, { id: "ETH", price: 2_000, price_ts: 5 }];
  const prices = { now: 900, prices: { BTC: 97_000, ETH: 2_000 }, price_ts: { BTC: 900, ETH: 5 } } as unknown as Prices;

  expect(atLastPrice(read, prices)).toEqual({ id: "BTC", price: 97_000, price_ts: 900 });
  expect(atLastPrice(rests, prices)).toEqual(rests);
  expect(atLastPrice({ id: "SOL", price: null, price_ts: null }, prices)).toEqual({ id: "SOL", price: null, price_ts: null });
});
