import { describe, expect, it } from "vitest";
import { type Changes, folded } from "./steps";

let seq = 0;
const step = (kind: string, data: Record<string, unknown> = {}) => ({ seq: seq++, ts: seq, kind, data });
const stop = (trigger: string, quantity = "0.5") => step("submit", { request: { purpose: "stop_loss", trigger, price: null, quantity } });
const moved = (trigger: string, quantity = "0.5") => [step("amend", { trigger, price: null, quantity }), step("amended", { trigger, price: null, quantity })];
const titles = (steps: ReturnType<typeof step>[]) => folded(steps).map((each) => ("steps" in each ? each.title : each.kind));

describe("the life of an order", () => {
  it("folds a trailing stop's changes into one line that says how often and from where to where", () => {
    const changes = Array.from({ length: 85 }, (_, at) => moved(`${(90.08 + (at + 1) * 0.05).toFixed(2)}000`)).flat();
    const life = [stop("90.08000"), step("accepted"), ...changes, step("filled")];

    expect(titles(life)).toEqual(["submit", "accepted", "Trailed 85 times, from 90.08 to 94.33", "filled"]);
    expect((folded(life)[2] as Changes).steps).toEqual(changes);
  });

  it("tells each run of changes from where the one before it ended, and loses none", () => {
    const life = [stop("90"), ...moved("91"), step("change_rejected"), ...moved("92"), ...moved("93"), step("cancelled")];

    expect(titles(life)).toEqual(["submit", "Trailed once, from 90 to 91", "change_rejected", "Trailed 2 times, from 91 to 93", "cancelled"]);
    expect(folded(life).flatMap((each) => ("steps" in each ? each.steps : [each]))).toEqual(life);
  });

  it("tells a change of the quantity, and of a limit order's price, as what they are", () => {
    const limit = step("submit", { request: { purpose: "take_profit", trigger: null, price: "110", quantity: "0.5" } });

    expect(titles([stop("90"), ...moved("90", "0.25")])[1]).toBe("Resized once, from 0.5 to 0.25");
    expect(titles([stop("90"), ...moved("91", "0.25")])[1]).toBe("Trailed once, from 90 to 91, the quantity from 0.5 to 0.25");
    expect(titles([limit, step("amend", { price: "111", trigger: null, quantity: null })])[1]).toBe("Moved once, from 110 to 111");
  });

  it("leaves a life without changes as it is", () => {
    const life = [stop("90"), step("accepted"), step("filled")];

    expect(folded(life)).toEqual(life);
  });
});
