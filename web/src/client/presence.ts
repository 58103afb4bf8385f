/** Whether somebody is at this page: what it asks for by itself while nobody is keeps no session from ending. */

/** Milliseconds after the last sign of a person. */
const AWAY_AFTER = 60_000;
let seen = Date.now();

for (const sign of ["pointerdown", "pointermove", "keydown", "wheel"]) {
  globalThis.addEventListener?.(sign, () => { seen = Date.now(); }, { capture: true, passive: true });
}

/** Return what every request bears: another origin cannot send the first header without being asked first. */
export function marks(): Record<string, string> {
  const mark = { "X-Abidance": "1" };
  return Date.now() - seen > AWAY_AFTER ? { ...mark, "X-Abidance-Away": "1" } : mark;
}
