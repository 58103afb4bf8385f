/** The market data that is stored: how much, how whole, and where the holes are. */
import { Drawer } from "@mantine/core";
import { useState } from "react";
import type { Me } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { Days } from "../ui/charts2d";
import { DataTable } from "../ui/DataTable";
import { signedShare, whole, wholeness } from "../ui/format";
import { Empty, Facts, Loaded, Panel, State, Time, Told } from "../ui/parts";
import { Downloads } from "./Downloads";
import { Older, usePages } from "./pages";

type Holding = Schemas["HoldingOut"];
const nameOf = (of: Holding) => (of.kind === "bars" ? `bars, ${of.timeframe}` : of.kind);

export default function Data({ me }: { me: Me }) {
  const [chosen, choose] = useState<Holding | null>(null);
  const data = api.useQuery("get", "/api/v1/data", {}, { staleTime: 30_000 });
  return (
    <>
      <h1>Data</h1>
      <Panel title="In the store" aside={<span className="quiet">a row opens its calendar and its holes</span>}>
        <Loaded query={data} height={420}>
          {(rows) => (
            <DataTable
              label="Stored data"
              rows={rows}
              keyOf={(row) => row.instrument + row.timeframe + row.kind + row.source}
              onRow={choose}
              height={640}
              empty={
                <>
                  Nothing is stored yet. Download some below.
                </>
              }
              columns={[
                { name: "Instrument", cell: (row) => row.instrument, width: "minmax(150px, 1.5fr)" },
                { name: "What", cell: (row) => nameOf(row) },
                { name: "From, UTC", cell: (row) => <Time ms={row.first} />, width: "150px" },
                { name: "To, UTC", cell: (row) => <Time ms={row.last} />, width: "150px" },
                { name: "Rows", cell: (row) => whole(row.rows), isNumber: true },
                { name: "Missing", cell: (row) => whole(row.missing), isNumber: true },
                { name: "Whole", cell: (row) => wholeness(row.quality), isNumber: true },
                { name: "Source", cell: (row) => row.problem || row.source },
              ]}
            />
          )}
        </Loaded>
      </Panel>
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => choose(null)} title={chosen ? `${chosen.instrument} ${nameOf(chosen)}` : ""} position="right" size="lg">
        {chosen?.kind === "bars" && <Calendar of={chosen} />}
        {chosen?.kind === "bars" && <Quality of={chosen} />}
        {chosen && <Holes of={chosen} />}
      </Drawer>
      <Downloads me={me} />
    </>
  );
}

function Calendar({ of }: { of: Holding }) {
  const found = api.useQuery("get", "/api/v1/data/calendar", { params: { query: { instrument: of.instrument, timeframe: of.timeframe } } }, { retry: false });
  return found.data ? <Days start={found.data.start} wanted={found.data.wanted} rows={found.data.rows} /> : null;
}

/** The judgement of `abidance check-data`, and the oddest places. */
function Quality({ of }: { of: Holding }) {
  const found = api.useQuery("get", "/api/v1/data/quality", { params: { query: { instrument: of.instrument, timeframe: of.timeframe } } }, { retry: false, staleTime: 60_000 });
  if (!found.data) return null;
  const { grade, reasons, zero_volume, flat, outliers, largest_move, oddest } = found.data;
  return (
    <section className="stack" aria-label="Quality">
      <h2 className="above">
        Judgement <State of={grade === "ok" ? "done" : grade === "warning" ? "warning" : "failed"} label={grade} />
      </h2>
      {reasons.map((each) => <p key={each}><Told text={each} /></p>)}
      <Facts of={{ without_volume: whole(zero_volume), flat: whole(flat), outliers: whole(outliers), largest_move: largest_move === null || largest_move === undefined ? null : `${signedShare(largest_move)}, close to close` }} />
      {oddest.length > 0 && (
        <ul className="timeline">
          {oddest.map((each) => (
            <li key={`${each.ts}${each.text}`}>
              <Time ms={each.ts} />: {each.text}
            </li>
          ))}
        </ul>
      )}
      <h2>Holes, UTC</h2>
    </section>
  );
}

function Holes({ of }: { of: Holding }) {
  const holes = usePages<Schemas["HoleOut"]>("/api/v1/data/gaps", "", (row) => `${row.start} ${row.end}`, { query: { instrument: of.instrument, timeframe: of.timeframe, kind: of.kind } });
  return (
    <Loaded query={holes}>
      {(rows) =>
        rows.length === 0 ? (
          <Empty>{of.kind === "bars" || of.kind === "funding" ? "Nothing is missing between its first and its last row." : "No time is noted at which it could not be trusted."}</Empty>
        ) : (
          <>
            <ul className="timeline">
              {rows.map((each) => (
                <li key={`${each.start} ${each.end}`}>
                  <Time ms={each.start} /> to <Time ms={each.end} />: {each.rows ? `${whole(each.rows)} missing` : each.reason || "missing"}
                </li>
              ))}
            </ul>
            <Older of={holes} first="The longest" name="Shorter ones" />
          </>
        )
      }
    </Loaded>
  );
}
