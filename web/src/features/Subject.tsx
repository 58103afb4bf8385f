/** What research is about: the strategy, instruments, bars and time range with which each of its forms begins. */
import { MultiSelect, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import { api, type Schemas } from "../client/api";

/** The fields that `fields` shows, by which requests call them. */
export const SUBJECT = ["strategy", "instruments", "timeframe", "timerange"];
/** Characters that a label may have. */
export const LONGEST = 100;
export const TIMEFRAMES = ["5m", "15m", "30m", "1h", "2h", "4h", "1d"];

/** The strategies that can be run, and the instruments of which bars are stored. */
export function useCatalog() {
  const query = api.useQuery("get", "/api/v1/strategies", {}, { staleTime: 60_000 });
  const data = api.useQuery("get", "/api/v1/data", {}, { staleTime: 60_000 }).data ?? [];
  return { query, strategies: query.data ?? [], instruments: [...new Set(data.filter((each) => each.timeframe).map((each) => each.instrument))] };
}

/** What a field offers to choose: a strategy whose file is broken stands there, with the reason, and cannot be chosen. */
export function choicesOf(strategies: readonly Schemas["StrategyOut"][]) {
  const broken = strategies.filter((each) => each.problem);
  return {
    data: strategies.map((each) => ({ value: each.name, label: each.name, disabled: Boolean(each.problem) })),
    ...(broken.length > 0 && { description: broken.map((each) => `${each.name} cannot be used: ${each.problem}`).join(" ") }),
  };
}

/** Name a field for money of a run that is started here, in the `currency` that the configuration says, once that is read. */
export function useMoney() {
  const currency = String(api.useQuery("get", "/api/v1/config").data?.values.currency ?? "");
  return { currency, moneyIn: (label: string) => (currency ? `${label}, ${currency}` : label) };
}

/** Hold what a form is about; `onStrategy` is told when another strategy, with parameters of its own, is chosen. */
export function useSubject(onStrategy: () => void) {
  const catalog = useCatalog();
  const [strategy, setStrategy] = useState("EmaCross");
  const [instruments, setInstruments] = useState(["BTC/USDT@BINANCE"]);
  const [timeframe, setTimeframe] = useState("1h");
  const [timerange, setTimerange] = useState("20240101-20250101");
  const pick = (found: string | null) => {
    setStrategy(found ?? "");
    onStrategy();
  };
  return {
    query: catalog.query,
    strategy: catalog.strategies.find((each) => each.name === strategy),
    label: `${strategy} ${instruments.map((each) => each.split("@")[0]).join(" ")}`.slice(0, LONGEST),
    config: (parameters?: object) => ({ instruments, timeframe, timerange, strategies: [{ strategy, ...(parameters ? { parameters } : {}) }] }),
    /** The fields, each with what is wrong with it. */
    fields: (at: Record<string, string>) => (
      <>
        <Select label="Strategy" {...choicesOf(catalog.strategies)} value={strategy} onChange={pick} error={at.strategy} allowDeselect={false} searchable />
        <MultiSelect label="Instruments" data={catalog.instruments} value={instruments} onChange={setInstruments} error={at.instruments} searchable w={330} />
        <Select label="Timeframe" data={TIMEFRAMES} value={timeframe} onChange={(found) => setTimeframe(found ?? "1h")} error={at.timeframe} allowDeselect={false} w={110} />
        <TextInput label="Time range" description="20240101-20250101" value={timerange} onChange={(e) => setTimerange(e.currentTarget.value)} error={at.timerange} w={200} />
      </>
    ),
  };
}

/** The id that an address names after its `#`: what is shown open at first. */
export const named = () => location.hash.slice(1) || null;
const VERDICT = "#verdict-";
/** The id of the verdict that an address names. */
export const namedVerdict = () => (location.hash.startsWith(VERDICT) ? location.hash.slice(VERDICT.length) : null);
