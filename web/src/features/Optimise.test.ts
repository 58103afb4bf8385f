import { expect, it } from "vitest";
import { distinct } from "./Optimise";

it("shows a setting once, however often it was tried, and keeps the trial that is the best", () => {
  const tried = (number: number, fast: number, slow = 9) => ({ number, parameters: { fast, slow } });
  const again = { number: 4, parameters: { slow: 9, fast: 2 } }; // in another order

  expect(distinct([tried(1, 2), tried(2, 3), tried(3, 2), again], null).map((each) => each.number)).toEqual([1, 2]);
  expect(distinct([tried(1, 2), tried(2, 3), tried(3, 2), again], 3).map((each) => each.number)).toEqual([3, 2]);
});
