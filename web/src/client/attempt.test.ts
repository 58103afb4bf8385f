import { describe, expect, it } from "vitest";
import { Attempt } from "./attempt";

const order = { side: "buy", quantity: "1" };
const problem = (status: number, code: string) => ({ title: "Refused", detail: "It is refused.", status, code });

describe("an order by hand", () => {
  it.each([
    ["the answer is lost", new TypeError("Failed to fetch")],
    ["the server fails", problem(500, "internal")],
    ["the server is overrun", problem(429, "pace")],
    ["the bot took it and has not answered", problem(409, "refused_by_node")],
    ["the bot stopped meanwhile", problem(409, "not_running")],
    ["it could not be written down or the bot did not answer", problem(409, "")],
    ["what came is no answer of ours", undefined],
  ])("bears the same id when %s, so that it is placed once", (_, error) => {
    const attempt = new Attempt();
    const first = attempt.id(order);
    attempt.answered(error);

    expect(attempt.isInDoubt).toBe(true);
    expect(attempt.id({ ...order })).toBe(first);
  });

  it.each([
    ["it was placed", null],
    ["risk refused it", problem(409, "max_exposure")],
    ["it does not fit", problem(422, "")],
  ])("is another one after %s", (_, error) => {
    const attempt = new Attempt();
    const first = attempt.id(order);
    attempt.answered(error);

    expect(attempt.isInDoubt).toBe(false);
    expect(attempt.id(order)).not.toBe(first);
  });

  it("is another one with another quantity", () => {
    const attempt = new Attempt();

    expect(attempt.id(order)).not.toBe(attempt.id({ ...order, quantity: "2" }));
  });
});
