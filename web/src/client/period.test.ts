import { expect, it } from "vitest";
import { dayOf, momentsOf, periodsAt } from "./period";

it("asks for whole days in UTC, the last one too", () => {
  expect(momentsOf({ from: "2025-01-31", to: "2025-02-01" })).toEqual({ start: String(Date.UTC(2025, 0, 31)), end: String(Date.UTC(2025, 1, 2)) });
  expect(momentsOf({ from: null, to: null })).toEqual({});
});

it("leaves days in the wrong order in the wrong order", () => {
  const { start, end } = momentsOf({ from: "2025-02-02", to: "2025-02-01" });

  expect(Number(start)).toBeGreaterThan(Number(end));
});

it.each(["", "0202-01-01", "2025-13-01", "2025-02-30", "2025-1-1", "<b>", "20250101"])("takes %j for no day", (text) => {
  expect(dayOf(text)).toBeNull();
  expect(momentsOf({ from: text, to: text })).toEqual({});
});

it("counts months and years as the calendar does", () => {
  const found = periodsAt(Date.UTC(2024, 2, 31, 23, 59));

  expect(found["Last month"]).toEqual({ from: "2024-02-01", to: "2024-02-29" });
  expect(found["Last 7 days"]).toEqual({ from: "2024-03-25", to: "2024-03-31" });
  expect(found["This year"]).toEqual({ from: "2024-01-01", to: "2024-03-31" });
  expect(periodsAt(Date.UTC(2024, 0, 1))["Last month"]).toEqual({ from: "2023-12-01", to: "2023-12-31" });
  expect(found["Last year"]).toEqual({ from: "2023-01-01", to: "2023-12-31" });
});
