import { expect, it } from "vitest";
import { steps, ticksOf, zoomOf } from "./charts";

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

it("names at least three figures beside every chart, and no more than there is room for", () => {
  const falls = [0.01, 0.0123, 0.02, 0.031, 0.047, 0.05, 0.099, 0.1, 0.2345, 0.5, 0.99];
  const ranges = [...falls.map((each) => [-each, 0] as const), [9_873.2, 10_412.5] as const, [-3, 17] as const, [0, 1] as const];

  for (const [low, high] of ranges) {
    const ticks = ticksOf(low, high, 3);
    expect(ticks.length, `${low} to ${high}`).toBeGreaterThanOrEqual(3);
    expect(ticks.length).toBeLessThanOrEqual(4);
    expect(Math.min(...ticks)).toBeGreaterThanOrEqual(low - 1e-12);
    expect(Math.max(...ticks)).toBeLessThanOrEqual(high + 1e-12);
    expect(ticksOf(low, high, 6).length).toBeGreaterThanOrEqual(ticks.length);
  }
  for (const fall of falls) expect(ticksOf(-fall, 0, 3).map((each) => (each * 100).toFixed(1)).map(Number)).toEqual(ticksOf(-fall, 0, 3).map((each) => Number((each * 100).toFixed(6)) + 0)); // told whole by one digit
  expect(ticksOf(5, 5, 3)).toEqual([5]);
});

it("knows which part of a time axis somebody chose", () => {
  expect(zoomOf([1, 2, 3], { min: 1, max: 3 })).toBeNull();
  expect(zoomOf([1, 2, 3, 4], { min: 1, max: 3 })).toEqual({ min: 1, max: 3 });
  expect(zoomOf([1, 2, 3], { min: 1.5, max: 3 })).toEqual({ min: 1.5, max: 3 });
  expect(zoomOf([], { min: 1, max: 3 })).toBeNull();
  expect(zoomOf([1, 2], {})).toBeNull();
});
