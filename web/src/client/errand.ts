/**
 * What the palette sends one for: a control of a page, which takes it as soon as it is there (`ui/reach.tsx`). Whoever
 * does something else meanwhile has given it up.
 */
import { useSyncExternalStore } from "react";

export interface Errand {
  control: string;
  /** Whether it is pressed; else it only gets the cursor, and a person presses it. */
  isPressed: boolean;
}
let errand: Errand | null = null;
const listeners = new Set<() => void>();

export function send(next: Errand | null): void {
  if (next === errand) return;
  errand = next;
  for (const listener of listeners) listener();
}

export const sent = (): Errand | null => errand;

export function useErrand(): Errand | null {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, sent);
}

globalThis.addEventListener?.("pointerdown", () => send(null), { capture: true });
globalThis.addEventListener?.(
  "keydown",
  (event) => {
    if (!event.repeat) send(null);
    // A key that is held down presses one button, and not the one that then has the cursor as well.
    else if (event.key === "Enter" && event.target instanceof HTMLButtonElement) event.preventDefault();
  },
  { capture: true },
);
