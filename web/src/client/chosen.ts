/** Which run is looked at, in every part of the page and after a reload. */
import { useSyncExternalStore } from "react";

const CHOSEN = "abidance.run";
const listeners = new Set<() => void>();

export function choose(run: string): void {
  localStorage.setItem(CHOSEN, run);
  for (const listener of listeners) listener();
}

export function useChosen(): string | null {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => localStorage.getItem(CHOSEN),
  );
}
