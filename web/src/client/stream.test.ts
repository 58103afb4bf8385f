import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Stream } from "./stream";

/** The other end of the line: what the page sent, and what it is told. */
class Line {
  static readonly OPEN = 1;
  static readonly opened: Line[] = [];
  readyState = 0;
  readonly sent: { type: string; run: string; since: number | null }[] = [];
  onopen: () => void = () => undefined;
  onmessage: (event: { data: string }) => void = () => undefined;

  constructor() {
    Line.opened.push(this);
  }
  open(): void {
    this.readyState = Line.OPEN;
    this.onopen();
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {}
  tell(message: object): void {
    this.onmessage({ data: JSON.stringify(message) });
  }
}

const line = () => Line.opened.at(-1) as Line;
const queries = new QueryClient();
const reads: Record<string, number> = {};
let ends: (() => void)[] = [];

/** Look at something, as a screen does. */
function look(path: string): void {
  reads[path] = 0;
  const queryFn = () => (reads[path] = (reads[path] ?? 0) + 1);
  ends.push(new QueryObserver(queries, { queryKey: ["get", path, {}], queryFn, staleTime: 60_000 }).subscribe(() => undefined));
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  vi.stubGlobal("WebSocket", Line);
  vi.stubGlobal("location", { protocol: "http:", host: "localhost" });
});
afterEach(() => {
  for (const end of ends) end();
  ends = [];
  queries.clear();
  vi.clearAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("asks for what changed since the run was read, so that nothing falls between", () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 1_200);
  line().open();

  expect(line().sent).toEqual([{ type: "subscribe", run: "bot", run_id: "b1", since: 1_200 }]);

  line().tell({ type: "subscribed", run: "bot", number: 1_200 });
  line().tell({ type: "changes", run: "bot", items: [{ number: 1_201 }] });
  line().open();

  expect(line().sent.at(-1)?.since).toBe(1_201);
});

it("reads anew what it knows of another run, and goes on from where that was read", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 1_200);
  line().open();
  look("/api/v1/runs/{run}/orders");
  await vi.advanceTimersByTimeAsync(10);
  stream.follow(queries, "other", "o1", 7);
  await vi.advanceTimersByTimeAsync(200);

  expect(line().sent.slice(1)).toMatchObject([{ type: "unsubscribe", run: "bot" }, { type: "subscribe", run: "other", since: 7 }]);
  expect(reads["/api/v1/runs/{run}/orders"]).toBe(2);
});

it("reads what prices are the measure of once a second while they move, and nothing else", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 0);
  line().open();
  for (const path of ["/api/v1/runs", "/api/v1/runs/{run}/risk", "/api/v1/runs/{run}/positions", "/api/v1/runs/{run}/orders"]) look(path);
  await vi.advanceTimersByTimeAsync(1_500);
  const before = { ...reads };
  for (let at = 0; at < 25; at++) {
    line().tell({ type: "prices", run: "bot", now: at, equity: 1, prices: { "BTC/USDT@BINANCE": at } });
    await vi.advanceTimersByTimeAsync(100);
  }
  const more = (path: string) => (reads[path] ?? 0) - (before[path] ?? 0);

  expect(more("/api/v1/runs")).toBe(3);
  expect(more("/api/v1/runs/{run}/risk")).toBe(3);
  expect(more("/api/v1/runs/{run}/positions")).toBe(3);
  expect(more("/api/v1/runs/{run}/orders")).toBe(0);

  await vi.advanceTimersByTimeAsync(600); // the last price counts, too
  expect(more("/api/v1/runs/{run}/risk")).toBe(4);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(more("/api/v1/runs/{run}/risk")).toBe(4);
});
