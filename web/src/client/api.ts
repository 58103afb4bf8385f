/** The API as TypeScript knows it: paths and shapes come from openapi.json, and nothing is said twice. */
import createFetchClient from "openapi-fetch";
import createClient from "openapi-react-query";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

/** Another origin cannot send this header without being asked first. */
const MARK = { "X-Abidance": "1" };

export const client = createFetchClient<paths>({ baseUrl: "", headers: MARK, credentials: "same-origin" });
export const api = createClient(client);

/** Return what a person should read about an error of whatever kind. */
export function told(error: unknown): { title: string; remedy: string; fields: { field: string; message: string }[] } {
  if (error && typeof error === "object" && "title" in error) {
    const problem = error as Problem;
    return {
      title: problem.detail || problem.title,
      remedy: problem.remedy ?? "",
      fields: problem.errors ?? [],
    };
  }
  return {
    title: "The server does not answer.",
    remedy: "It is tried again. Check that `abidance serve` is running.",
    fields: [],
  };
}

/** Return the code by which a problem can be told apart, such as `login` or `confirm`. */
export function codeOf(error: unknown): string {
  return error && typeof error === "object" && "code" in error ? String((error as Problem).code ?? "") : "";
}
