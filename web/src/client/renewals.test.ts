import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { MOST, Renewals } from "./renewals";

const queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: 60_000 } } });
let ends: (() => void)[] = [];
const all = () => true;

/** Look at things that take so long to answer; return how often each was asked for, and the most at once. */
function looking(names: string[], takes: number) {
  const seen = { reads: Object.fromEntries(names.map((name) => [name, 0])) as Record<string, number>, now: 0, most: 0, world: 0, shown: {} as Record<string, unknown> };
  for (const name of names) {
    const queryFn = async () => {
      seen.reads[name] = (seen.reads[name] ?? 0) + 1;
      seen.most = Math.max(seen.most, (seen.now += 1));
      const found = seen.world;
      await new Promise((done) => setTimeout(done, takes));
      seen.now -= 1;
      return found;
    };
    ends.push(new QueryObserver(queries, { queryKey: [name], queryFn }).subscribe(({ data }) => (seen.shown[name] = data)));
  }
  return seen;
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
});
afterEach(() => {
  for (const end of ends) end();
  ends = [];
  queries.clear();
  vi.clearAllTimers();
  vi.useRealTimers();
});

it("asks a few at a time, and all in the end", async () => {
  const names = Array.from({ length: 15 }, (_, at) => `q${at}`);
  const seen = looking(names, 50);
  await vi.advanceTimersByTimeAsync(1_000);
  seen.most = 0;

  new Renewals().ask(queries, all);
  await vi.advanceTimersByTimeAsync(1_000);

  expect(seen.most).toBe(MOST);
  expect(names.map((name) => seen.reads[name])).toEqual(names.map(() => 2));
});

it("asks once for many changes that come while one waits, and shows the newest", async () => {
  const seen = looking(["slow"], 1_000);
  await vi.advanceTimersByTimeAsync(2_000);
  const renewals = new Renewals();
  for (let at = 1; at <= 30; at++) {
    seen.world = at;
    renewals.ask(queries, all);
    await vi.advanceTimersByTimeAsync(10);
  }
  await vi.advanceTimersByTimeAsync(3_000);

  expect(seen.reads.slow).toBe(3);
  expect(seen.shown.slow).toBe(30);
});

it("keeps to its pace in a storm, and lets nothing wait for ever", async () => {
  const names = Array.from({ length: 10 }, (_, at) => `q${at}`);
  const seen = looking(names, 5);
  await vi.advanceTimersByTimeAsync(100);
  const renewals = new Renewals();
  for (let at = 0; at < 1_000; at++) {
    seen.world = at;
    renewals.ask(queries, all);
    await vi.advanceTimersByTimeAsync(10);
  }
  const counts = names.map((name) => (seen.reads[name] ?? 0) - 1);
  await vi.advanceTimersByTimeAsync(2_000);

  expect(counts.reduce((one, other) => one + other)).toBeLessThanOrEqual(80 + 20 * 10);
  expect(Math.min(...counts)).toBeGreaterThan(0.8 * Math.max(...counts));
  expect(Object.values(seen.shown)).toEqual(names.map(() => 999));
});

it("does not ask what nobody looks at any more, and goes on after what fails", async () => {
  const seen = looking(["gone", "here"], 5);
  await vi.advanceTimersByTimeAsync(100);
  ends.push(new QueryObserver(queries, { queryKey: ["broken"], queryFn: () => Promise.reject(new Error("no")) }).subscribe(() => undefined));
  const renewals = new Renewals();
  renewals.ask(queries, all);
  await vi.advanceTimersByTimeAsync(20);
  renewals.ask(queries, all);
  ends.shift()?.();
  await vi.advanceTimersByTimeAsync(1_000);

  expect(seen.reads).toEqual({ gone: 2, here: 3 });
});
