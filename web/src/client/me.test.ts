import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import { leave, ME, type Place, placeOf } from "./me";

const ada = { name: "ada" };
const standing = (...told: (object | null | undefined)[]) => told.reduce<Place>((before, me) => placeOf(me, before), "unknown");

test("a session that is over is told as such, and only to whoever had one", () => {
  expect(standing(undefined, null)).toBe("outside");
  expect(standing(undefined, ada, null)).toBe("put out");
  expect(standing(undefined, ada, null, null)).toBe("put out");
});

test("whoever logs out is not told that a session is over", () => {
  expect(standing(undefined, ada, undefined, null)).toBe("outside");
});

test("the form stays while whoever comes in is asked for once more", () => {
  expect(standing(undefined, null, undefined)).toBe("outside");
  expect(standing(undefined, ada, null, undefined)).toBe("put out");
  expect(standing(undefined, ada, null, undefined, ada)).toBe("inside");
});

test("a logout leaves nothing of what was shown", () => {
  const queries = new QueryClient();
  queries.setQueryData(["get", "/api/v1/runs", {}], ["theirs"]);
  queries.setQueryData([...ME, {}], ada);

  leave(queries);

  expect(queries.getQueryData(["get", "/api/v1/runs", {}])).toBeUndefined();
  expect(queries.getQueryData([...ME, {}])).toBeUndefined();
});
