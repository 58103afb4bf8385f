/** From which day on and up to which one a list is shown: days of a name, or two that are picked. The address keeps them. */
import { Select, TextInput } from "@mantine/core";
import { useState } from "react";
import { useAddress } from "../client/address";
import { type Days, dayOf, momentsOf, periodsAt } from "../client/period";

const ALL = "All";
const CHOSEN = "Chosen";

/** Return the days that are chosen, what the list's route is asked for them, and what changes them. */
export function usePeriod() {
  const [{ from, to }, put] = useAddress("from", "to");
  const days = { from: dayOf(from), to: dayOf(to) };
  return { days, isAll: !days.from && !days.to, query: momentsOf(days), choose: (change: Partial<Days>) => put(change) };
}

/** The fields of it; `now` is the time of what is listed, which in a replay is not ours. */
export function PeriodFields({ of, now, flaw, label = "Period" }: { of: ReturnType<typeof usePeriod>; now: number; flaw?: string; label?: string }) {
  const { days, isAll, choose } = of;
  const named = periodsAt(now);
  const found = isAll ? ALL : (Object.entries(named).find(([, { from, to }]) => from === days.from && to === days.to)?.[0] ?? CHOSEN);
  const names = [ALL, ...Object.keys(named), ...(found === CHOSEN ? [CHOSEN] : [])];
  return (
    <div className="period">
      <Select label={label} data={names} value={found} onChange={(name) => name && name !== CHOSEN && choose(named[name] ?? { from: null, to: null })} allowDeselect={false} />
      <Day label="From" value={days.from} onChange={(from) => choose({ from })} error={flaw} />
      <Day label="To" value={days.to} onChange={(to) => choose({ to })} />
    </div>
  );
}

/** A field for a day in UTC: what is typed of it stays as it is until it is one. */
function Day({ label, value, onChange, error }: { label: string; value: string | null; onChange: (day: string | null) => void; error?: string }) {
  const [text, setText] = useState("");
  const change = (typed: string) => {
    setText(typed);
    onChange(dayOf(typed));
  };
  return <TextInput label={`${label}, UTC`} type="date" min="1970-01-01" max="9999-12-31" value={dayOf(text) === value ? text : (value ?? "")} onChange={(event) => change(event.currentTarget.value)} error={error} />;
}
