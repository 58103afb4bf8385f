/** What the server shows once: held, on whatever screen one is meanwhile, until a person has kept it. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

/** Hold such a secret by name; putting null gives it up. Leaving the page asks first while there is one. */
export function useOnce<T>(name: string): [T | null, (value: T | null) => void] {
  const queries = useQueryClient();
  const key = ["once", name];
  const held = useQuery<T | null>({ queryKey: key, queryFn: () => null, enabled: false, initialData: null, gcTime: Number.POSITIVE_INFINITY }).data;
  const isHeld = held !== null;
  useEffect(() => {
    if (!isHeld) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [isHeld]);
  return [held, (value) => queries.setQueryData(key, value)];
}
