/** A field for a number, in which nothing that is typed turns into another one: what is no number is told to be none. */
import { TextInput, type TextInputProps } from "@mantine/core";
import { useState } from "react";
import { numeral } from "./format";

interface NumberFieldProps extends Omit<TextInputProps, "value" | "onChange"> {
  /** A number, or the text that is none. */
  value: number | string;
  onChange: (found: number | string) => void;
}

export function NumberField({ value, onChange, ...rest }: NumberFieldProps) {
  const [text, setText] = useState("");
  const change = (found: string) => {
    setText(found);
    onChange(numeral(found));
  };
  return <TextInput inputMode="decimal" autoComplete="off" {...rest} value={numeral(text) === value ? text : String(value)} onChange={(event) => change(event.currentTarget.value)} />;
}
