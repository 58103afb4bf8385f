/** How wide the place is that a part of a screen has: it is never drawn before that is known. */
import { useCallback, useRef, useState } from "react";

/** Return what goes to an element, which is at `place` then, and the pixels that it has from side to side. */
export function useRoom() {
  const place = useRef<HTMLElement | null>(null);
  const [room, setRoom] = useState(Number.POSITIVE_INFINITY);
  const measured = useCallback((found: HTMLElement | null) => {
    place.current = found;
    if (!found) return;
    const measure = () => setRoom(found.offsetWidth);
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(found);
    return () => watch.disconnect();
  }, []);
  return { place, measured, room };
}
