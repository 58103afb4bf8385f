/** What a backtest traded: its fills over the bars and in a list, each with why it came to be. */
import { Drawer, Select } from "@mantine/core";
import { type ReactNode, useMemo, useState } from "react";
import { api, type Schemas } from "../client/api";
import { CandleChart } from "../ui/charts";
import { DataTable } from "../ui/DataTable";
import { Empty, Loaded } from "../ui/parts";
import { fillColumns, markOf } from "./columns";
import { lengthOf } from "./forming";
import { RulesOfFills } from "./rules";
import { WhyTested } from "./Why";

/** A result as the program writes it. */
export interface Written {
  equity?: [string, number][];
  fills?: { ref?: string; id: string; time: string; instrument: string; side: "buy" | "sell"; quantity: number; price: number; purpose: Schemas["FillOut"]["purpose"] }[];
  config?: { timeframe?: string };
  data?: { currency?: string };
}

const SHOWN = 2_000;
const HOUR = 3_600_000;
const NONE: [] = [];

/** The fills of one instrument over its bars, the newest stretch that a chart can hold, and all of them below. */
export function Trades({ id, of, again }: { id: string; of: Written; again: ReactNode }) {
  const all = useMemo(() => (of.fills ?? []).map((each) => ({ ...each, ts: Date.parse(each.time), ref: each.ref ?? each.id })), [of.fills]);
  const names = useMemo(() => [...new Set(all.map((each) => each.instrument))].sort(), [all]);
  const [chosen, choose] = useState<string | null>(null);
  const [why, ask] = useState<string | null>(null);
  const instrument = chosen ?? names[0];
  const fills = useMemo(() => all.filter((each) => each.instrument === instrument), [all, instrument]);
  const newest = useMemo(() => [...fills].reverse(), [fills]);
  const last = fills.at(-1);
  const timeframe = of.config?.timeframe ?? "1h";
  const bars = api.useQuery(
    "get",
    "/api/v1/bars",
    { params: { query: { instrument: instrument ?? "", timeframe, end: last ? last.ts + 40 * (lengthOf(timeframe) || HOUR) : undefined, limit: SHOWN } } },
    { enabled: last !== undefined, staleTime: Infinity },
  );
  const marks = useMemo(
    () => fills.map(markOf),
    [fills],
  );
  if (!last) return <Empty>Nothing was traded.</Empty>;
  return (
    <section className="stack" aria-label="Trades on the chart">
      <div className="row">
        <h2>Trades on the chart</h2>
        <Select aria-label="Instrument" data={names} value={instrument ?? null} onChange={choose} allowDeselect={false} />
        <span className="quiet">each arrow, and each fill below, says why</span>
      </div>
      <Loaded query={bars}>{(found) => <CandleChart bars={found} marks={marks} levels={NONE} height={360} onMark={ask} />}</Loaded>
      <RulesOfFills of={all}>
        <DataTable label="Fills" rows={newest} keyOf={(row) => row.ref} columns={fillColumns({ instruments: [last.instrument] })} onRow={(row) => ask(row.ref)} height={300} empty="Nothing was traded." />
      </RulesOfFills>
      <Drawer lockScroll={false} opened={why !== null} onClose={() => ask(null)} title="Why?" position="right" size="lg">
        {why && <WhyTested id={id} currency={of.data?.currency ?? ""} ref={why} again={again} />}
      </Drawer>
    </section>
  );
}
