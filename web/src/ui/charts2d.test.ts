import { describe, expect, it } from "vitest";
import { axis } from "./charts2d";

describe("the axis of a map", () => {
  it("parts whole numbers into whole fields of which each value has one", () => {
    const values = Array.from({ length: 249 }, (_, at) => at + 2);

    const { names, of } = axis(values);

    expect([names[0], names.at(-1)]).toEqual(["2–22", "233–250"]);
    expect([of(2), of(22), of(23), of(250)]).toEqual([0, 0, 1, names.length - 1]);
  });

  it("names each value where there are few", () => {
    expect(axis([3, 1, 2, 1]).names).toEqual(["1", "2", "3"]);
  });
});
