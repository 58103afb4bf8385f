import { expect, it } from "vitest";
import { cardsOf } from "./DataTable";

it("gives room to whole cards alone, and to all of them once they were asked for", () => {
  expect(cardsOf(5, 0, 165, 420)).toBe(2); // a third would be cut
  expect(cardsOf(1, 0, 165, 420)).toBe(1);
  expect(cardsOf(5, 0, 600, 420)).toBe(1);
  expect(cardsOf(5, 5, 165, 420)).toBe(5);
});
