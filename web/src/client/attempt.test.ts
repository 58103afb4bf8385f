import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Attempt, remember } from "./attempt";

const order = { side: "buy", quantity: "1" };
const problem = (status: number, code: string) => ({ title: "Refused", detail: "It is refused.", status, code });
const lost = new TypeError("Failed to fetch");
const kept = new Map<string, string>();

beforeEach(() => {
  kept.clear();
  vi.stubGlobal("sessionStorage", { getItem: (name: string) => kept.get(name) ?? null, setItem: (name: string, text: string) => kept.set(name, text) });
  remember();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("an order by hand", () => {
  it.each([
    ["the answer is lost", lost],
    ["the server fails", problem(500, "internal")],
    ["the bot took it and has not answered", problem(409, "refused_by_node")],
    ["the bot did not answer", problem(409, "no_answer")],
    ["a refusal names no code", problem(409, "")],
    ["what came is no answer of ours", undefined],
  ])("bears the same id when %s, so that it is placed once", (_, error) => {
    const attempt = new Attempt("order");
    const first = attempt.id(order);
    attempt.answered(error);

    expect(attempt.open.map((each) => each.id)).toEqual([first]);
    expect(attempt.id({ ...order })).toBe(first);
  });

  it.each([
    ["it was placed", null],
    ["risk refused it", problem(409, "max_exposure")],
  ])("is another one after %s, even where it was in doubt before", (_, error) => {
    const attempt = new Attempt("order");
    const first = attempt.id(order);
    attempt.answered(lost);
    attempt.id(order);
    attempt.answered(error);

    expect(attempt.open).toEqual([]);
    expect(attempt.id(order)).not.toBe(first);
  });

  it.each([
    ["it does not fit", problem(422, "")],
    ["there were too many requests", problem(429, "pace")],
    ["the session is over", problem(401, "login")],
    ["the audit log could not be written", problem(409, "not_audited")],
    ["no bot runs", problem(409, "not_running")],
  ])("is in no doubt when %s, unless it was before", (_, error) => {
    const attempt = new Attempt("order");
    attempt.id(order);
    attempt.answered(error);
    const doubts = attempt.open.length;
    const second = attempt.id(order);
    attempt.answered(lost);
    attempt.id(order);
    attempt.answered(error);

    expect(doubts).toBe(0);
    expect(attempt.open.map((each) => each.id)).toEqual([second]);
    expect(attempt.id(order)).toBe(second);
  });

  it("is another one with another quantity, and the same again with the first one", () => {
    const attempt = new Attempt("order");
    const first = attempt.id(order);
    attempt.answered(lost);
    const second = attempt.id({ ...order, quantity: "2" });
    attempt.answered(null);

    expect(second).not.toBe(first);
    expect(attempt.id(order)).toBe(first);
  });

  it("bears the same id from a form that was closed and opened again, and after the page was loaded anew", () => {
    const first = new Attempt("order");
    const id = first.id(order); // nothing is heard of it: the page goes before the answer comes
    const reopened = new Attempt("order").id(order);
    remember();
    const loaded = new Attempt("order");

    expect(reopened).toBe(id);
    expect(loaded.open).toMatchObject([{ id, of: order }]);
    expect(loaded.id(order)).toBe(id);
  });

  it("is another one for another kind, and once a person has seen what became of it", () => {
    const attempt = new Attempt("order");
    const first = attempt.id(order);
    attempt.answered(lost);
    const other = new Attempt("close").id(order);
    attempt.forget();

    expect(other).not.toBe(first);
    expect(attempt.open).toEqual([]);
    expect(attempt.id(order)).not.toBe(first);
  });

  it("is another one a day later: what was asked for then must not pass for what is asked for now", () => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
    const first = new Attempt("order").id(order);
    vi.setSystemTime(Date.now() + 86_400_001);
    remember();

    expect(new Attempt("order").id(order)).not.toBe(first);
  });

  it("is asked for where a tab remembers nothing, or what is not ours", () => {
    kept.set("abidance.doubts", "[nonsense");
    remember();

    expect(new Attempt("order").id(order)).toMatch(/^[0-9a-f-]{36}$/);
  });
});
