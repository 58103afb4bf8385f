import { afterEach, expect, it, vi } from "vitest";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.resetModules();
});

it("says of a request whether somebody is at the page", async () => {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  const page = new EventTarget();
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  const sent: Record<string, string | null>[] = [];
  vi.stubGlobal("fetch", async ({ headers }: Request) => {
    sent.push({ mark: headers.get("X-Abidance"), away: headers.get("X-Abidance-Away") });
    return Response.json([]);
  });
  vi.resetModules();
  const { client } = await import("./api");
  const ask = () => client.GET("/api/v1/runs", { baseUrl: "http://localhost" });

  await ask();
  vi.setSystemTime(Date.now() + 61_000);
  await ask();
  page.dispatchEvent(new Event("keydown"));
  await ask();

  expect(sent).toEqual([
    { mark: "1", away: null },
    { mark: "1", away: "1" },
    { mark: "1", away: null },
  ]);
});
