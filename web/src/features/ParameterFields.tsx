/** The parameters of a strategy as fields, from the schema that the strategy itself declares. */
import { Select, Switch, TextInput } from "@mantine/core";
import { NumberField } from "../ui/NumberField";

export type Value = string | number | boolean;

export interface Property {
  description?: string;
  type?: string;
  enum?: Value[];
  default?: Value;
  minimum?: number;
  maximum?: number;
}

export function propertiesOf(schema: unknown): Record<string, Property> {
  return (schema as { properties?: Record<string, Property> } | undefined)?.properties ?? {};
}

export function ParameterFields({
  properties,
  now = {},
  values,
  flaws = {},
  isReadOnly = false,
  onChange,
}: {
  properties: Record<string, Property>;
  now?: Record<string, Value>;
  values: Record<string, Value>;
  /** What is wrong with which. */
  flaws?: Record<string, string>;
  isReadOnly?: boolean;
  onChange: (name: string, value: Value) => void;
}) {
  return Object.entries(properties).map(([name, rule]) => {
    const known = now[name] ?? rule.default ?? "";
    const value = values[name] ?? known;
    const shared = { label: name, description: range(rule), disabled: isReadOnly, error: flaws[name] };
    if (typeof known === "boolean") return <Switch key={name} {...shared} checked={Boolean(value)} onChange={(e) => onChange(name, e.currentTarget.checked)} />;
    if (rule.enum) return <Select key={name} {...shared} data={rule.enum.map(String)} value={String(value)} onChange={(found) => found !== null && onChange(name, rule.enum?.find((each) => String(each) === found) ?? found)} allowDeselect={false} w={150} />;
    if (typeof known === "number")
      return <NumberField key={name} {...shared} value={typeof value === "boolean" ? "" : value} onChange={(found) => onChange(name, found)} w={150} />;
    return <TextInput key={name} {...shared} value={String(value)} onChange={(e) => onChange(name, e.currentTarget.value)} w={150} />;
  });
}

function range(rule: Property): string {
  if (rule.minimum !== undefined && rule.maximum !== undefined) return `${rule.minimum} to ${rule.maximum}`;
  return rule.description ?? "\u00a0";
}
