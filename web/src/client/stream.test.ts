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
  onclose: (() => void) | null = () => undefined;

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
  close(): void {
    this.readyState = 3;
    this.onclose?.();
  }
  tell(message: object): void {
    this.onmessage({ data: JSON.stringify(message) });
  }
}

const line = () => Line.opened.at(-1) as Line;
const asked = () => line().sent.filter((each) => "run" in each);
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

  expect(asked()).toEqual([{ type: "subscribe", run: "bot", run_id: "b1", since: 1_200 }]);

  line().tell({ type: "subscribed", run: "bot", number: 1_200 });
  line().tell({ type: "changes", run: "bot", items: [{ number: 1_201 }] });
  line().open();

  expect(asked().at(-1)?.since).toBe(1_201);
});

it("reads anew what it knows of another run, and goes on from where that was read", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 1_200);
  line().open();
  look("/api/v1/runs/{run}/orders");
  await vi.advanceTimersByTimeAsync(10);
  stream.follow(queries, "other", "o1", 7);
  await vi.advanceTimersByTimeAsync(200);

  expect(asked().slice(1)).toMatchObject([{ type: "unsubscribe", run: "bot" }, { type: "subscribe", run: "other", since: 7 }]);
  expect(reads["/api/v1/runs/{run}/orders"]).toBe(2);
});

const fill = (ref: string, ts: number, more: object = {}) => ({ ref, ts, instrument: "BTC/USDT@BINANCE", ...more });
const list = (run: string, query: object) => ["get", "/api/v1/runs/{run}/fills", { params: { path: { run }, query } }];

it("puts fills where they belong as they come, and asks for nothing that they are not about", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 0);
  line().open();
  const asked = { fills: 0, other: 0 };
  const show = (queryKey: unknown[], queryFn: () => unknown) => ends.push(new QueryObserver(queries, { queryKey, queryFn, staleTime: 60_000 }).subscribe(() => undefined));
  const page = () => ({ items: [fill("1", 1)], next: null, total: (asked.fills += 1) && 1 });
  const pages = ["/api/v1/runs/bot/fills", "b1", {}, ""];
  for (const key of [list("bot", { limit: 12 }), list("bot", { instrument: "ETH/USDT@BINANCE" }), pages, list("other", {})]) show(key, page);
  for (const route of ["equity", "risk", "orders", "notices", "round-trips"]) show(["get", `/api/v1/runs/{run}/${route}`, {}], () => (asked.other += 1));
  await vi.advanceTimersByTimeAsync(10);
  for (let at = 2; at < 32; at++) {
    line().tell({ type: "changes", run: "bot", items: [{ number: at, kind: "fill", data: fill(String(at), at) }] });
    await vi.advanceTimersByTimeAsync(100);
  }
  const shown = (key: unknown[]) => queries.getQueryData<{ items: { ref: string }[] }>(key)?.items.map((each) => each.ref);

  expect([shown(list("bot", { limit: 12 }))?.length, shown(pages)?.[0]]).toEqual([31, "31"]);
  expect(shown(list("bot", { instrument: "ETH/USDT@BINANCE" }))).toEqual(["1"]);
  expect(shown(list("other", {}))).toEqual(["1"]);
  expect(asked).toEqual({ fills: 4 + 30, other: 5 }); // the page of another run is asked anew: nothing is told of it
});

it("asks again for a list that was under way when a row came, which it may lack", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 0);
  line().open();
  let known = [fill("1", 1)];
  const queryFn = async () => {
    const items = known;
    await new Promise((done) => setTimeout(done, 500));
    return { items, next: null };
  };
  ends.push(new QueryObserver(queries, { queryKey: list("bot", {}), queryFn, staleTime: 60_000 }).subscribe(() => undefined));
  await vi.advanceTimersByTimeAsync(10);
  known = [fill("2", 2), ...known];
  line().tell({ type: "changes", run: "bot", items: [{ number: 1, kind: "fill", data: fill("2", 2) }] });
  await vi.advanceTimersByTimeAsync(2_000);

  expect(queries.getQueryData(list("bot", {}))).toMatchObject({ items: known });
});

it("keeps what prices make of a run, whole and as told last, without reading anything", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 0);
  line().open();
  for (const path of ["/api/v1/runs", "/api/v1/runs/{run}/risk", "/api/v1/runs/{run}/positions"]) look(path);
  await vi.advanceTimersByTimeAsync(1_500);
  const before = { ...reads };
  const worth = { run: { equity: 7 } };
  for (let at = 0; at < 25; at++) {
    line().tell({ type: "prices", run: "bot", now: at, prices: { "BTC/USDT@BINANCE": at }, worth });
    await vi.advanceTimersByTimeAsync(100);
  }
  line().tell({ type: "prices", run: "other", now: 99, prices: {}, worth: {} });

  expect(stream.prices).toMatchObject({ now: 24, worth });
  expect(reads).toEqual(before);
});

it("shows nothing of one run as if it were another's", () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 0);
  line().open();
  line().tell({ type: "prices", run: "bot", now: 1, prices: {}, worth: {} });
  const told: unknown[] = [];
  stream.subscribeTo(() => told.push(stream.prices));

  stream.follow(queries, "other", "o1", 0);

  expect(told).toEqual([null]);
});

const backtest = (id: string, state: string) => ({ id, state });

it("keeps the last word on each piece of work, and goes on where it was when the line comes back", async () => {
  const stream = new Stream();
  stream.follow(queries, null, "", 0);
  line().open();
  const [first] = line().sent.slice(-1);
  line().tell({ type: "reset", work: "w1", number: 3 });
  line().tell({ type: "work", number: 5, items: [{ number: 4, kind: "backtest", data: backtest("a", "running") }, { number: 5, kind: "search", data: backtest("a", "queued") }] });
  line().tell({ type: "work", number: 6, items: [{ number: 6, kind: "backtest", data: backtest("a", "done") }] });

  expect(first).toEqual({ type: "subscribe", work: null, since: null });
  expect([...stream.work.values()].map((each) => [each.kind, each.data.state])).toEqual([["backtest", "done"], ["search", "queued"]]);

  line().open();

  expect(line().sent.at(-1)).toEqual({ type: "subscribe", work: "w1", since: 6 });
});

it("reads work anew where the server cannot go on, and nothing else", async () => {
  const stream = new Stream();
  stream.follow(queries, null, "", 0);
  line().open();
  line().tell({ type: "work", number: 1, items: [{ number: 1, kind: "backtest", data: backtest("a", "running") }] });
  const [work, other] = [["/api/v1/backtests", "/api/v1/jobs", "/api/v1/verdicts/{id}"], ["/api/v1/backtests/{id}/result", "/api/v1/runs"]];
  for (const path of [...work, ...other]) look(path);
  await vi.advanceTimersByTimeAsync(10);
  line().tell({ type: "reset", work: "w2", number: 0 });
  await vi.advanceTimersByTimeAsync(10);

  expect(stream.work.size).toBe(0);
  expect(work.map((path) => reads[path])).toEqual([2, 2, 2]);
  expect(other.map((path) => reads[path])).toEqual([1, 1]);
});

it("forgets what it was told when the line is lost: what is asked for then is newer", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 0);
  line().open();
  line().tell({ type: "prices", run: "bot", now: 1, prices: {}, worth: {} });
  line().tell({ type: "work", number: 1, items: [{ number: 1, kind: "backtest", data: backtest("a", "running") }] });
  await vi.advanceTimersByTimeAsync(3_000);

  expect(stream.link).toBe("lost");
  expect([stream.prices, stream.work.size]).toEqual([null, 0]);
});

it("gives an attempt up that nobody answers, and makes another", async () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "b1", 1_200);
  const first = line();

  await vi.advanceTimersByTimeAsync(3_000);
  const link = stream.link;
  await vi.advanceTimersByTimeAsync(2_000);
  line().open();
  line().tell({ type: "subscribed", run: "bot", number: 1_200 });

  expect(link).toBe("lost");
  expect(first.readyState).toBe(3);
  expect(line()).not.toBe(first);
  expect(stream.link).toBe("live");
});

it("tries no more once it is left, and follows anew when somebody comes in", () => {
  const stream = new Stream();
  stream.follow(queries, "bot", "1", 4);
  line().open();
  line().close();
  const before = Line.opened.length;

  stream.leave();
  vi.advanceTimersByTime(60_000);

  expect(Line.opened.length).toBe(before);
  stream.follow(queries, "bot", "1", 9);
  line().open();
  expect(Line.opened.length).toBe(before + 1);
  expect(asked()).toEqual([expect.objectContaining({ run: "bot", since: 9 })]);

  stream.leave();
  vi.advanceTimersByTime(60_000);

  expect(line().readyState).toBe(3);
  expect(Line.opened.length).toBe(before + 1);
});

it("goes on in a log after the last line that came, and hears no answer to what it asked before", () => {
  const stream = new Stream();
  const told: unknown[] = [];
  const wishes = () => line().sent.filter((each) => "log" in each) as unknown[];
  stream.follow(queries, null, "", 0);
  line().open();
  stream.tail({ log: "bot", file: "f", since: 10, contains: "a" }, (news) => told.push(news));
  stream.tail({ log: "bot", file: "f", since: 10 }, (news) => told.push(news));

  line().tell({ type: "log", log: "bot", tag: 1, file: "f", end: 20, items: [{ at: 10 }] });
  line().tell({ type: "log", log: "bot", tag: 2, file: "g", end: 30, items: [{ at: 0 }] });
  line().open();
  line().tell({ type: "reset", log: "bot", tag: 2 });

  expect(told).toEqual([{ file: "g", end: 30, items: [{ at: 0 }] }, null]);
  expect(wishes()).toEqual([
    { type: "subscribe", tag: 1, log: "bot", file: "f", since: 10, contains: "a" },
    { type: "subscribe", tag: 2, log: "bot", file: "f", since: 10 },
    { type: "subscribe", tag: 2, log: "bot", file: "g", since: 30 },
  ]);
});

it("asks for a log no more once it is left, and not for one that was left before", () => {
  const stream = new Stream();
  stream.follow(queries, null, "", 0);
  line().open();
  const leave = stream.tail({ log: null, file: "", since: 0 }, () => undefined);
  leave();
  line().open();

  expect(line().sent.filter((each) => "log" in each).map((each) => each.type)).toEqual(["subscribe", "unsubscribe"]);
});
