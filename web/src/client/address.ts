/** What a screen keeps in its address: what is chosen there is seen again after a reload, and by whoever gets a link to it. */
import { useDebouncedValue } from "@mantine/hooks";
import { useEffect, useState } from "react";
import { useSearchParams } from "wouter";

/** Return what is chosen, by its name in the address (null where nothing is), and what changes some of it. */
export function useAddress<N extends string>(...names: N[]): [Record<N, string | null>, (change: Partial<Record<N, string | null>>) => void] {
  const [asked, ask] = useSearchParams();
  const chosen = Object.fromEntries(names.map((name) => [name, asked.get(name) || null])) as Record<N, string | null>;
  const put = (change: Partial<Record<N, string | null>>) => {
    const after = new URLSearchParams(location.search); // as it is now: others may have changed their part of it
    for (const [name, value] of Object.entries<string | null | undefined>(change)) {
      if (value) after.set(name, value);
      else after.delete(name);
    }
    if (after.toString() !== new URLSearchParams(location.search).toString()) ask(after, { replace: true });
  };
  return [chosen, put];
}

/** A text that is typed: its field, and what is asked for once one stops typing, which the address keeps. */
export function useTyped<N extends string>(name: N) {
  const [chosen, put] = useAddress(name);
  const [text, setText] = useState(chosen[name] ?? "");
  const [value] = useDebouncedValue(text.trim(), 250);
  useEffect(() => put({ [name]: value || null } as Record<N, string | null>), [value]);
  return { text, setText, value };
}
