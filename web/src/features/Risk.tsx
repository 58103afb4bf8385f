/** What risk allows, how much of it is used, what it refused, and which breakers stand guard. */
import { Drawer, Select } from "@mantine/core";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { useValuedRisk } from "../client/valued";
import { DataTable } from "../ui/DataTable";
import { baseOf, pair, whole, words } from "../ui/format";
import { Empty, Facts, Loaded, Meter, Panel, State, Time, Told } from "../ui/parts";
import { Circuits, troubled } from "./Circuits";
import { measured, sideOf, usageLabel, usageText } from "./columns";
import { Breakers, Limits } from "./Limits";
import { PagedTable, usePages } from "./pages";
import { passing, stateOf } from "./standing";
import { inUnits } from "./units";

type Refusal = Schemas["RefusalOut"];
const refusalKey = (row: Refusal) => [row.seq, row.strategy, row.instrument, row.side, row.purpose, row.quantity].join(" ");

export default function Risk({ run, me }: { run: Run; me: Me }) {
  const [code, setCode] = useState<string | null>(null);
  const [opened, open] = useState<Refusal | null>(null);
  const risk = useValuedRisk(api.useQuery("get", "/api/v1/runs/{run}/risk", { params: { path: { run: run.name } } }));
  const refusals = usePages<Refusal>(`/api/v1/runs/${run.name}/refusals`, run.run_id, refusalKey, code ? { query: { code } } : {});
  return (
    <>
      <h1>Risk</h1>
      <Loaded query={risk}>
        {(data) => (
          <>
            <div className="two">
              <div className="stack">
                <Panel title="Standing" aside={<State of={stateOf(run)} />}>
                  <p><Told text={passing(run, data)} /></p>
                  {Object.entries(data.strategies).map(([name, each]) => (
                    <p key={name}>
                      {name} <State of={run.is_running ? each.state : "stopped"} /> <span className="quiet"><Told text={each.reason ?? ""} /></span>
                    </p>
                  ))}
                </Panel>
                <Panel title="Refused, by reason">
                  {Object.keys(data.refusals).length === 0 ? (
                    <Empty>Risk has refused nothing.</Empty>
                  ) : (
                    <Refused of={data.refusals} />
                  )}
                </Panel>
                {data.without_stop.length > 0 && (
                  <Panel title="Without a stop" aside={<span className="quiet">from the fill until all of a position had its stop</span>}>
                    <DataTable
                      label="Without a stop"
                      rows={data.without_stop}
                      keyOf={(row) => row.strategy + row.instrument}
                      empty="Every position had its stop."
                      columns={[
                        { name: "Strategy", cell: (row) => row.strategy },
                        { name: "Instrument", cell: (row) => pair(row.instrument) },
                        { name: "Times", cell: (row) => whole(row.times), isNumber: true, width: "60px" },
                        { name: "Longest, s", cell: (row) => row.longest.toFixed(2), isNumber: true, width: "84px" },
                        { name: "In all, s", cell: (row) => row.total.toFixed(2), isNumber: true, width: "84px" },
                      ]}
                    />
                  </Panel>
                )}
              </div>
              <Panel title="Used of the limits">
                {data.usage.map((each) => (
                  <Meter key={each.name} label={usageLabel(each)} used={each.used} limit={each.limit} text={usageText(each)} />
                ))}
              </Panel>
            </div>
            <Panel title="Limits" aside={<span className="quiet">they hold for the next order on</span>}>
              <Limits run={run} me={me} values={data.limits as Record<string, unknown>} />
            </Panel>
            <Panel title="Breakers" aside={<span className="quiet">they stop entries by themselves; what has tripped stays</span>}>
              <Breakers run={run} me={me} values={data.breakers} />
            </Panel>
            <Circuits run={run} me={me} rows={troubled(data)} />
            <Panel
              title="Refusals"
              aside={<Select aria-label="Reason" placeholder="All reasons" size="xs" data={Object.keys(data.refusals)} value={code} onChange={setCode} clearable />}
            >
              <PagedTable
                label="Refusals"
                of={refusals}
                keyOf={refusalKey}
                onRow={open}
                empty="Nothing was refused."
                columns={[
                  { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "150px" },
                  { name: "Strategy", cell: (row) => row.strategy, width: "110px" },
                  { name: "Instrument", cell: (row) => pair(row.instrument), width: "100px" },
                  { name: "Side", cell: (row) => sideOf(row.side), width: "52px" },
                  measured<Refusal>(run, "Quantity", baseOf, (row) => row.quantity),
                  { name: "Code", cell: (row) => <code>{row.code}</code>, width: "150px" },
                  { name: "Reason", cell: (row) => <span title={row.reason}>{row.reason}</span>, width: "minmax(240px, 3fr)" },
                ]}
              />
            </Panel>
          </>
        )}
      </Loaded>
      <Drawer lockScroll={false} opened={opened !== null} onClose={() => open(null)} title="Refused" position="right" size="lg">
        {opened && <Whole of={opened} />}
      </Drawer>
    </>
  );
}

/** A refusal with all that its row has no room for, its reason first. */
function Whole({ of: { seq: _, ts, instrument, reason, ...rest } }: { of: Refusal }) {
  return (
    <>
      <p><Told text={reason} /></p>
      <Facts of={{ time_UTC: <Time ms={ts} />, instrument: pair(instrument), ...inUnits(rest, instrument) }} />
    </>
  );
}

/** Reasons beside each other, the most frequent first. */
function Refused({ of }: { of: Record<string, number> }) {
  const rows = Object.entries(of).sort(([, one], [, other]) => other - one);
  const most = rows[0]?.[1] ?? 1;
  return (
    <>
      {rows.map(([name, count]) => (
        <div className="meter" key={name}>
          <span>{words(name)}</span>
          <progress max={most} value={count} aria-label={words(name)} />
          <span className="number">{whole(count)}</span>
        </div>
      ))}
    </>
  );
}
