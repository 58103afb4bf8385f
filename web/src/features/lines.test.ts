import { expect, it } from "vitest";
import { opened, spoken } from "./lines";

const about = { run: "1", bot: "b", logger: "paper", market_time: "2025-05-12 10:00", strategy: "Trend", instrument: "BTC/USDT@BINANCE", side: "sell", purpose: "stop_loss" };
const amend = { event: "command", data: { ...about, command: { type: "amend", order_id: "997c", quantity: "0.5313", price: null, trigger: "2161.65", ts: 1747026000000000000 } } };

it("says first what a command changes, of what, with units and without nanoseconds", () => {
  expect(spoken(amend)).toBe("Amend BTC/USDT stop loss → 2,161.65 USDT, 0.5313 BTC, Trend");
});

it("says what is sent and what is taken back", () => {
  const request = { kind: "order", strategy: "Trend", instrument: "BTC/USDT@BINANCE", side: "buy", quantity: "0.0101", type: "market", price: null, trigger: null, purpose: "entry" };
  const stop = { ...request, side: "sell", type: "stop_limit", trigger: "95000", price: "94900", purpose: "stop_loss" };
  const sent = (wish: object) => spoken({ event: "command", data: { ...about, command: { type: "submit", order_id: "9", request: wish, ts: 1 } } });

  expect(sent(request)).toBe("Submit BTC/USDT entry: buy 0.0101 BTC at market, Trend");
  expect(sent(stop)).toBe("Submit BTC/USDT stop loss: sell 0.0101 BTC at 95,000 USDT, limit 94,900 USDT, Trend");
  expect(spoken({ event: "command", data: { ...about, command: { type: "cancel", order_id: "9", ts: 1 } } })).toBe("Cancel BTC/USDT stop loss, Trend");
});

it("reads lines of commands that an earlier version wrote without what they are about", () => {
  expect(spoken({ event: "command", data: { command: amend.data.command } })).toBe("Amend → 2,161.65, 0.5313");
});

it("names every figure of other lines, and begins with the reason", () => {
  const refused = { code: "max_exposure", reason: "Exposure would be too much.", strategy: "Trend", instrument: "BTC/USDT@BINANCE" };
  const bare = { records: 3_773, without_stop_ns: { "Trend BTC/USDT@BINANCE": { count: 61, total: 90_000_000_000, longest: 0 } } };

  expect(spoken({ event: "refused", data: refused })).toBe("Exposure would be too much. · code max_exposure, strategy Trend, instrument BTC/USDT");
  expect(spoken({ event: "stopped", data: bare })).toBe("records 3773, without stop Trend BTC/USDT@BINANCE count 61, total 1 min 30 s, longest 0 s");
});

it("opens a command as one list, with its id and its units and without nanoseconds", () => {
  expect(opened(amend)).toEqual({ command: "amend", market_time: "2025-05-12 10:00", strategy: "Trend", instrument: "BTC/USDT", side: "Sell", purpose: "Stop loss", order_id: "997c", quantity: "0.5313 BTC", trigger: "2,161.65 USDT" });
});
