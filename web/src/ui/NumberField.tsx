/** A field for a number, in which nothing that is typed turns into another one: what is no number is told to be none. */
import { TextInput, type TextInputProps } from "@mantine/core";
import { type KeyboardEvent, useState } from "react";
import { inField, numeral, stepped } from "./format";

/** Where what is told of a field stands under it: beside others that are told nothing of, all stay in line. */
export const BELOW: TextInputProps["inputWrapperOrder"] = ["label", "error", "input", "description"];

interface NumberFieldProps extends Omit<TextInputProps, "value" | "onChange"> {
  /** A number, or the text that is none. */
  value: number | string;
  onChange: (found: number | string) => void;
}

/** The arrow keys, and the arrows for a pointer, move the last digit. */
export function NumberField({ value, onChange, disabled, ...rest }: NumberFieldProps) {
  const [text, setText] = useState("");
  const shown = inField(text, value);
  const change = (found: string) => {
    setText(found);
    onChange(numeral(found));
  };
  const step = (by: 1 | -1) => {
    const found = disabled ? null : stepped(shown, by);
    if (found !== null) change(found);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    step(event.key === "ArrowUp" ? 1 : -1);
  };
  const arrows = disabled ? undefined : (
    <span className="arrows" aria-hidden>
      <span onPointerDown={(event) => [event.preventDefault(), step(1)]}>▴</span>
      <span onPointerDown={(event) => [event.preventDefault(), step(-1)]}>▾</span>
    </span>
  );
  return <TextInput inputMode="decimal" autoComplete="off" rightSection={arrows} rightSectionWidth={22} {...rest} disabled={disabled} value={shown} onChange={(event) => change(event.currentTarget.value)} onKeyDown={onKeyDown} />;
}
