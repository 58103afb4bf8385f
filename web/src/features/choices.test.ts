import { expect, it } from "vitest";
import type { Schemas } from "../client/api";
import { purposeOf } from "./columns";
import { choicesOf } from "./Subject";

const strategy = (name: string, problem = "") => ({ name, problem }) as Schemas["StrategyOut"];

it("offers a strategy whose file is broken with its reason, and not to be chosen", () => {
  const found = choicesOf([strategy("EmaCross"), strategy("broken.py", "Reading it failed at broken.py:3: SyntaxError.")]);

  expect(found.data.map((each) => [each.value, each.disabled])).toEqual([["EmaCross", false], ["broken.py", true]]);
  expect(found.description).toBe("broken.py cannot be used: Reading it failed at broken.py:3: SyntaxError.");
  expect(choicesOf([strategy("EmaCross")]).description).toBeUndefined();
});

it("marks an order that a person placed", () => {
  expect(purposeOf({ purpose: "entry", tag: "manual" })).toBe("Entry, by hand");
  expect(purposeOf({ purpose: "entry", tag: "cross" })).toBe("Entry");
});
