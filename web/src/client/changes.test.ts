import type { Query } from "@tanstack/react-query";
import { expect, it } from "vitest";
import { held, isAbout, isOfRuns, joined, SLACK } from "./changes";

const asking = (...queryKey: unknown[]) => ({ queryKey }) as unknown as Query;
const typed = (path: string) => asking("get", path, { params: { path: { run: "bot" } } });

it.each([
  [typed("/api/v1/runs/{run}/fills"), "fill", true],
  [typed("/api/v1/runs/{run}/fills"), "order", false],
  [typed("/api/v1/runs/{run}/equity"), "fill", false],
  [typed("/api/v1/runs"), "fill", false],
  [typed("/api/v1/runs"), "standing", true],
  [typed("/api/v1/alerts"), "notice", true],
  [typed("/api/v1/alerts"), "bar", false],
  [asking("/api/v1/runs/bot/ledger", "r1", {}, ""), "fill", true],
  [asking("/api/v1/runs/bot/ledger", "r1", {}, ""), "bar", false],
  [typed("/api/v1/runs/{run}/logs"), "bar", true], // of which nothing is said
  [typed("/api/v1/unreadable-runs"), "fill", false],
  [typed("/api/v1/backtests"), "fill", false],
])("%o is asked again with a change of kind %s: %s", (query, kind, is) => {
  expect(isAbout(query, new Set([kind]))).toBe(is);
});

it("knows what is asked of runs and alerts from what is not", () => {
  const found = ["runs", "runs/{run}", "runs/{run}/risk", "alerts", "jobs", "unreadable-runs"].map((path) => isOfRuns(typed(`/api/v1/${path}`)));

  expect(found).toEqual([true, true, true, true, false, false]);
});

/** The server's list, and how it answers. */
interface Row {
  [name: string]: unknown;
  id: string;
  ts: number;
  strategy: string;
  purpose: string;
  is_open: boolean;
}
function answer(rows: Row[], limit: number, wanted: (row: Row) => boolean, cursor = rows.length) {
  const items: Row[] = [];
  let at = cursor;
  while (at > 0 && items.length < limit) {
    at -= 1;
    const row = rows[at] as Row;
    if (wanted(row)) items.push(row);
  }
  return { items, next: at ? String(at) : null };
}

function drawn(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

it.each([
  [{}, () => true],
  [{ strategy: "b" }, (row: Row) => row.strategy === "b"],
  [{ purpose: ["entry", "signal"] }, (row: Row) => row.purpose !== "stop"],
  [{ is_open: true }, (row: Row) => row.is_open],
  [{ is_open: "true" }, (row: Row) => row.is_open], // as an address has it
  [{ strategy: "", is_open: undefined }, () => true],
  [{ start: "20", end: "40" }, (row: Row) => row.ts >= 20 && row.ts < 40],
  [{ end: 30, strategy: "a" }, (row: Row) => row.ts < 30 && row.strategy === "a"],
] as [Record<string, unknown>, (row: Row) => boolean][])("a page that is told of rows is what the server would answer, asked for %o", (query, wanted) => {
  const counts = { placed: 0, asked: 0 };
  for (let seed = 1; seed <= 40; seed++) {
    const draw = drawn(seed);
    const rows: Row[] = [];
    const limit = 5;
    let page: ReturnType<typeof answer> = answer(rows, limit, wanted);
    for (let step = 0; step < 150; step++) {
      const told: Row[] = [];
      for (let each = 0; each <= draw() * 3; each++) {
        const at = Math.floor(draw() * rows.length);
        const old = rows[at];
        if (old && draw() < 0.5) told.push((rows[at] = { ...old, is_open: old.is_open && draw() < 0.5, filled: step }));
        else {
          const row = { id: `${step} ${each}`, ts: Math.floor(step / 2), strategy: draw() < 0.5 ? "a" : "b", purpose: ["entry", "signal", "stop"][Math.floor(draw() * 3)] as string, is_open: true };
          rows.push(row);
          told.push(row);
        }
      }
      const found = joined(page as never, told as never, "id", { limit, ...query }) as typeof page | null;
      counts[found ? "placed" : "asked"] += 1;
      page = found ?? answer(rows, limit, wanted);

      const fresh = answer(rows, Math.max(limit, page.items.length), wanted);
      expect(page.items.slice(0, limit)).toEqual(fresh.items.slice(0, limit));
      if (!("is_open" in query)) expect(page.items).toEqual(rows.slice(Number(page.next ?? 0)).filter(wanted).reverse());
      expect(page.items.length).toBeLessThanOrEqual(limit + SLACK);
    }
  }
  expect(counts.placed).toBeGreaterThan(10 * counts.asked);
});

it("puts rows on the newest page alone; on those further down they are changed where they stand", () => {
  const [old, fresh] = [{ id: "1", ts: 1, is_open: true }, { id: "9", ts: 9, is_open: true }];

  expect(joined({ items: [old], next: null }, [fresh, { ...old, is_open: false }], "id", { cursor: "1" })?.items).toEqual([{ ...old, is_open: false }]);
});

it("has a page asked for anew where a filter is not about a field of its rows, or a row is late", () => {
  const page = { items: [{ id: "2", ts: 20 }, { id: "1", ts: 10 }], next: null, total: 2 };

  expect(joined(page, [{ id: "3", ts: 30 }], "id", { since: 5 })).toBeNull();
  expect(joined(page, [{ id: "3", ts: 15 }], "id", {})).toBeNull();
  expect(joined(page, [{ id: "3", ts: 20 }], "id", {})).toMatchObject({ total: 3, items: [{ id: "3" }, { id: "2" }, { id: "1" }] });
});

it("holds positions as they are told, and asks for the list when one is new", () => {
  const btc = { strategy: "a", instrument: "BTC", direction: "long", quantity: "1" };
  const eth = { ...btc, instrument: "ETH" };
  const more = { ...btc, quantity: "2" };

  expect(held([btc, eth], [more])).toEqual([more, eth]);
  expect(held([btc, eth], [{ ...btc, direction: "flat" }])).toEqual([eth]);
  expect(held([eth], [{ ...btc, direction: "flat" }])).toEqual([eth]);
  expect(held([btc], [more, { ...eth, strategy: "b", direction: "short" }])).toBeNull();
});
