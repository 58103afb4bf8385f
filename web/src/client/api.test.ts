import { afterEach, describe, expect, it, vi } from "vitest";
import { client, placed, told } from "./api";

describe("an answer that does not come", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("is told as tried again only where it is", async () => {
    vi.stubGlobal("fetch", async () => {
      throw new TypeError("Failed to fetch");
    });
    const base = { baseUrl: "http://localhost" };
    const read = await client.GET("/api/v1/runs", base).catch((error) => told(error));
    const done = await client.DELETE("/api/v1/session", base).catch((error) => told(error));

    expect(read).toMatchObject({ remedy: expect.stringMatching(/^It is tried again/) });
    expect(done).toMatchObject({ title: expect.stringContaining("it may have been done"), remedy: expect.stringMatching(/^It is not tried again/) });
  });
});

const problem = (...errors: [string, string][]) => ({ title: "Does not fit", detail: "It does not.", remedy: "Mend it.", errors: errors.map(([field, message]) => ({ field, message })) });

describe("something long that is told", () => {
  const long = `begins ${"x".repeat(2_000)} ends`;

  it("is told by its beginning and its end, wherever it stands", () => {
    const { title, fields } = told({ title: "Does not fit", detail: long, errors: [{ field: "name", message: long }] });

    for (const text of [title, fields[0]?.message ?? ""]) {
      expect(text.length).toBeLessThan(650);
      expect(text).toMatch(/^begins x+ … x+ ends$/);
    }
  });

  it("is whole where it is not too long", () => {
    const text = "x".repeat(600);

    expect(told({ title: text }).title).toBe(text);
  });
});

describe("what is wrong with a form", () => {
  it("goes to the field that it names, however deep the field lies in the request", () => {
    const found = placed(problem(["config.strategies.0.parameters.fast", "too fast"], ["instruments.1", "no pair"]), ["fast", "instruments"]);

    expect(found.at).toEqual({ fast: "too fast", instruments: "no pair" });
    expect(found.rest).toBeNull();
  });

  it("keeps in the box what no field shows", () => {
    const found = placed(problem(["quantity", "too much"], ["id", "too long"]), ["quantity"]);

    expect(found.at).toEqual({ quantity: "too much" });
    expect(found.rest).toMatchObject({ detail: "Does not fit", errors: [{ field: "id", message: "too long" }] });
  });

  it("says two flaws of one field one after the other", () => {
    expect(placed(problem(["price", "One."], ["price", "Two."]), ["price"]).at).toEqual({ price: "One. Two." });
  });

  it("takes no field for another whose name it only ends with", () => {
    const error = problem(["stop_price", "too low"]);

    expect(placed(error, ["price"])).toEqual({ at: {}, rest: error });
  });

  it("leaves an error without fields, and none, as it is", () => {
    const lost = new TypeError("Failed to fetch");

    expect(placed(lost, ["price"])).toEqual({ at: {}, rest: lost });
    expect(placed(null, ["price"])).toEqual({ at: {}, rest: null });
  });
});
