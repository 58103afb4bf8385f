/** Lists that are longer than one answer: the newest page follows the run, older ones are fetched as one scrolls. */
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";

interface Page<T> {
  items: T[];
  next?: string | null;
}

export function usePages<T>(path: string, version: number, query: Record<string, string> = {}) {
  const found = useInfiniteQuery({
    queryKey: [path, query, version],
    initialPageParam: "",
    placeholderData: keepPreviousData,
    queryFn: async ({ pageParam }): Promise<Page<T>> => {
      const asked = new URLSearchParams({ limit: "200", ...query, ...(pageParam ? { cursor: pageParam } : {}) });
      const answer = await fetch(`${path}?${asked}`, { headers: { "X-Abidance": "1" } });
      const body = await answer.json();
      if (!answer.ok) throw body;
      return body as Page<T>;
    },
    getNextPageParam: (page) => page.next || undefined,
  });
  const more = () => {
    if (found.hasNextPage && !found.isFetchingNextPage) void found.fetchNextPage();
  };
  return { rows: found.data?.pages.flatMap((page) => page.items) ?? [], more, error: found.error };
}
