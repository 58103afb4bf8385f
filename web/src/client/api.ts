/** The API as TypeScript knows it: paths and shapes come from openapi.json, and nothing is said twice. */
import createFetchClient from "openapi-fetch";
import createClient from "openapi-react-query";
import { marks } from "./presence";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

/** No answer to something that was to be done: whether it was, nobody here knows. */
export class Unanswered extends Error {
  readonly title = "No answer came: it may have been done, or not.";
  readonly remedy = "It is not tried again by itself. Look at what came of it before you ask once more, and check that `abidance serve` is running.";
}

export const client = createFetchClient<paths>({ baseUrl: "", credentials: "same-origin" });
client.use({
  onRequest({ request }) {
    for (const [name, value] of Object.entries(marks())) request.headers.set(name, value);
  },
  onError({ request }) {
    return request.method === "GET" ? undefined : new Unanswered();
  },
});
export const api = createClient(client);

/** Characters that something told has at most; of more, its beginning and its end. */
const LONGEST = 600;
const cut = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST / 2)} … ${text.slice(-LONGEST / 2)}` : text);

/** Return what a person should read about an error of whatever kind. */
export function told(error: unknown): { title: string; remedy: string; fields: { field: string; message: string }[] } {
  if (error && typeof error === "object" && "title" in error) {
    const problem = error as Problem;
    return {
      title: cut(problem.detail || problem.title),
      remedy: problem.remedy ?? "",
      fields: (problem.errors ?? []).map((each) => ({ ...each, message: cut(each.message) })),
    };
  }
  return {
    title: "The server does not answer.",
    remedy: "It is tried again. Check that `abidance serve` is running.",
    fields: [],
  };
}

/** Whether a field of a request, such as `config.instruments.1`, is the one that a form calls `instruments`. */
function isAbout(field: string, name: string): boolean {
  const parts = field.split(".");
  while (/^\d+$/.test(parts.at(-1) ?? "")) parts.pop();
  return parts.at(-1) === name;
}

/**
 * Part what is wrong with a form's own fields, by their names, from what is to be said beside them: `rest` is null where
 * each flaw has its field.
 */
export function placed(error: unknown, names: readonly string[]): { at: Record<string, string>; rest: unknown } {
  const at: Record<string, string> = {};
  const left = told(error).fields.filter(({ field, message }) => {
    const name = names.find((each) => isAbout(field, each));
    if (name) at[name] = at[name] ? `${at[name]} ${message}` : message;
    return !name;
  });
  if (Object.keys(at).length === 0) return { at, rest: error };
  const problem = error as Problem;
  return { at, rest: left.length > 0 ? { ...problem, detail: problem.title, errors: left } : null };
}

/** Return the code by which a problem can be told apart, such as `login` or `confirm`. */
export function codeOf(error: unknown): string {
  return error && typeof error === "object" && "code" in error ? String((error as Problem).code ?? "") : "";
}
