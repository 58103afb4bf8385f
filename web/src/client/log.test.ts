import { expect, it } from "vitest";
import { grown, type Held, isTimely } from "./log";

const line = (at: number, file = "a") => ({ at, ts: at, level: "info", event: `event${at}`, data: {}, file });
const ats = (held: Held) => held.rows.map((each) => `${each.file}${each.at}`);

it("puts lines that come, oldest first, before those that are there", () => {
  const held = { rows: [line(20), line(10)], next: { cursor: "10", file: "a" } };

  const found = grown(held, { items: [line(30), line(40)], file: "a" });

  expect(ats(found)).toEqual(["a40", "a30", "a20", "a10"]);
  expect(found.next).toEqual({ cursor: "10", file: "a" });
});

it("lets the oldest go when there are too many, and knows where they are read again", () => {
  const held = { rows: [line(20), line(10)], next: null };

  const found = grown(held, { items: [line(0, "b")], file: "b" }, 2);

  expect(ats(found)).toEqual(["b0", "a20"]);
  expect(found.next).toEqual({ cursor: "20", file: "a" });
});

it("takes of the lines that come those of the period that is shown, and none without a moment", () => {
  const lines = [{ ts: null }, { ts: 9 }, { ts: 10 }, { ts: 19 }, { ts: 20 }];
  const taken = (start?: string, end?: string) => lines.filter(isTimely(start, end)).map((each) => each.ts);

  expect(taken("10", "20")).toEqual([10, 19]);
  expect(taken("10")).toEqual([10, 19, 20]);
  expect(taken(undefined, "10")).toEqual([9]);
  expect(taken()).toEqual([null, 9, 10, 19, 20]);
});
