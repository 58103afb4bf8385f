/** Who is logged in, as far as this page knows: somebody, nobody (null), or not told yet (undefined). */
import type { QueryClient } from "@tanstack/react-query";

export const ME = ["get", "/api/v1/session"];

/** Where a visitor stands: whoever was inside and is nobody now was put out, unless they left. */
export type Place = "unknown" | "inside" | "outside" | "put out";

export function placeOf(me: object | null | undefined, before: Place): Place {
  if (me) return "inside";
  if (me === undefined) return before === "inside" ? "unknown" : before;
  return before === "inside" || before === "put out" ? "put out" : "outside";
}

/** Forget, after a logout, all that was told to who has left, and ask for nothing that takes somebody. */
export function leave(queries: QueryClient): void {
  queries.removeQueries({ predicate: (query) => query.queryKey[1] !== ME[1] });
  void queries.resetQueries({ queryKey: ME });
}
