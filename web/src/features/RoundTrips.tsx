/** From flat to flat: every round trip with its result, filtered, and as CSV. */
import { Button, Select } from "@mantine/core";
import { useState } from "react";
import type { Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { DataTable } from "../ui/DataTable";
import { gain, share, whole } from "../ui/format";
import { Failure, Gain, Loaded, Panel, Stat } from "../ui/parts";
import { tripColumns } from "./columns";
import { usePages } from "./pages";

type Trip = Schemas["RoundTripOut"];

export default function RoundTrips({ run }: { run: Run }) {
  const [strategy, setStrategy] = useState<string | null>(null);
  const [instrument, setInstrument] = useState<string | null>(null);
  const query = { ...(strategy ? { strategy } : {}), ...(instrument ? { instrument } : {}) };
  const closed = usePages<Trip>(`/api/v1/runs/${run.name}/round-trips`, run.seq, query);
  const open = api.useQuery("get", "/api/v1/runs/{run}/round-trips/open", { params: { path: { run: run.name } } });
  const won = closed.rows.filter((each) => Number(each.pnl) > 0);
  const sum = closed.rows.reduce((total, each) => total + Number(each.pnl), 0);
  return (
    <>
      <h1>Round trips</h1>
      <div className="row">
        <Select label="Strategy" placeholder="All" data={run.strategies} value={strategy} onChange={setStrategy} clearable />
        <Select label="Instrument" placeholder="All" data={run.instruments} value={instrument} onChange={setInstrument} clearable searchable />
        <Button variant="light" disabled={closed.rows.length === 0} onClick={() => download(closed.rows, run.name)}>
          Save as CSV
        </Button>
      </div>
      <div className="stats">
        <Stat label="Shown">{whole(closed.rows.length)}</Stat>
        <Stat label="Won">{closed.rows.length ? share(won.length / closed.rows.length) : "–"}</Stat>
        <Stat label={`Result, ${run.currency}`}>
          <Gain of={sum} text={gain(sum)} />
        </Stat>
      </div>
      <Panel title="Open">
        <Loaded query={open}>{(rows) => <DataTable label="Open round trips" rows={rows} columns={tripColumns} keyOf={(row) => row.strategy + row.instrument} empty="Nothing is held." />}</Loaded>
      </Panel>
      <Panel title="Closed">
        {closed.error && <Failure error={closed.error} />}
        <DataTable label="Closed round trips" rows={closed.rows} columns={tripColumns} keyOf={(row) => `${row.number}${row.ts_entry}${row.instrument}${row.strategy}`} onEnd={closed.more} empty="No position has been closed yet." height={560} />
      </Panel>
    </>
  );
}

const FIELDS: (keyof Trip)[] = ["number", "strategy", "instrument", "direction", "ts_entry", "ts_exit", "quantity", "entry_price", "exit_price", "pnl", "pnl_share", "fees", "funding", "exit_reason"];

/** Text that a spreadsheet would take for a formula is marked as text. */
function cell(value: unknown): string {
  const text = String(value ?? "");
  const safe = /^[=+@\t]/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csvOf(rows: Trip[]): string {
  return [FIELDS.join(","), ...rows.map((row) => FIELDS.map((field) => cell(row[field])).join(","))].join("\r\n");
}

function download(rows: Trip[], name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(rows)], { type: "text/csv" }));
  link.download = `${name}-round-trips.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}
