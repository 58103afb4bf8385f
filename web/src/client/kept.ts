/** What this browser remembers, the same in every part of the page and after a reload. */
import { useSyncExternalStore } from "react";

/** Which run is looked at, from which level on news come to the front, and whether the desktop shows them, too. */
type Kept = "abidance.run" | "abidance.news" | "abidance.desktop";
const listeners = new Set<() => void>();
/** As it was first read: what is picked in another tab must not change what this one acts on. */
const held = new Map<Kept, string | null>();

function read(what: Kept): string | null {
  if (!held.has(what)) held.set(what, localStorage.getItem(what));
  return held.get(what) ?? null;
}

export function keep(what: Kept, value: string): void {
  held.set(what, value);
  localStorage.setItem(what, value);
  for (const listener of listeners) listener();
}

export function useKept(what: Kept): string | null {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => read(what),
  );
}

/** Look at a run; what the address says of lists was about another one. */
export function choose(run: string): void {
  if (location.search) history.replaceState(null, "", location.pathname);
  keep("abidance.run", run);
}
export const useChosen = () => useKept("abidance.run");
