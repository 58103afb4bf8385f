/** Controls that the palette finds: each by a name of its own, in whatever place it stands. */
import { Button, type ButtonProps } from "@mantine/core";
import { type ComponentPropsWithoutRef, createContext, type RefObject, useContext, useEffect, useRef } from "react";
import { send, useErrand } from "../client/errand";

/** Whether the screen around is shown: nothing that is hidden can have the cursor. */
export const IsShown = createContext(true);
const FIELD = "input:not(:disabled), textarea:not(:disabled)";

/** Return what goes to a control, or to a form of which the first field is meant. */
export function useReach<E extends HTMLElement>(control: string): RefObject<E | null> {
  const place = useRef<E>(null);
  const isShown = useContext(IsShown);
  const errand = useErrand();
  useEffect(() => {
    if (!isShown || errand?.control !== control) return;
    const found = place.current instanceof HTMLFormElement ? place.current.querySelector<HTMLElement>(FIELD) : place.current;
    if (!found) return; // it has not come yet
    send(null);
    found.focus();
    if (errand.isPressed) found.click();
  });
  return place;
}

/** A button that the palette finds. */
export function Act({ control, ...of }: { control: string } & ButtonProps & Omit<ComponentPropsWithoutRef<"button">, keyof ButtonProps>) {
  const place = useReach<HTMLButtonElement>(control);
  return <Button ref={place} {...of} />;
}
