import { describe, expect, it } from "vitest";
import { isOwn, noteOwn } from "./own";

const killed = { seq: 1, orders: [], refusals: [], notices: [{ ts: 1, level: "error", code: "kill", text: "ada used the kill switch", strategy: "" }] };
const asked = { params: { path: { run: "bot" } } };

describe("what this page brought about", () => {
  it("is known once, in its run, and for a short time", () => {
    noteOwn(killed, asked, 1_000);

    expect(isOwn({ run: "other", code: "kill" }, 2_000)).toBe(false);
    expect(isOwn({ run: "bot", code: "release" }, 2_000)).toBe(false);
    expect(isOwn({ run: "bot", code: "kill" }, 2_000)).toBe(true);
    expect(isOwn({ run: "bot", code: "kill" }, 2_000)).toBe(false);

    noteOwn([killed], asked, 1_000);
    expect(isOwn({ run: "bot", code: "kill" }, 60_000)).toBe(false);
  });

  it("is nothing where no bot was asked", () => {
    noteOwn({ id: "a-backtest" }, { body: {} });
    noteOwn(null, undefined);

    expect(isOwn({ run: "", code: "" })).toBe(false);
  });
});
