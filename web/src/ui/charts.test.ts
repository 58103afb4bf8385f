import { expect, it } from "vitest";
import { steps, zoomOf } from "./charts";

it("draws a stop where it stood, and nothing where none did", () => {
  const ts = [0, 1_000, 2_000, 3_000, 4_000, 5_000];

  const drawn = steps(ts, [null, 10, null, 12, 13, null]);

  expect(drawn.map((each) => [each.time, each.value, each.color])).toEqual([
    [1, 10, undefined],
    [2, 12, "transparent"],
    [3, 12, undefined],
    [4, 13, undefined],
  ]);
});

it("knows which part of a time axis somebody chose", () => {
  expect(zoomOf([1, 2, 3], { min: 1, max: 3 })).toBeNull();
  expect(zoomOf([1, 2, 3, 4], { min: 1, max: 3 })).toEqual({ min: 1, max: 3 });
  expect(zoomOf([1, 2, 3], { min: 1.5, max: 3 })).toEqual({ min: 1.5, max: 3 });
  expect(zoomOf([], { min: 1, max: 3 })).toBeNull();
  expect(zoomOf([1, 2], {})).toBeNull();
});
