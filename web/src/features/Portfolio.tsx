/** What is owned, where it lies, and the ledger in which every cent is explained. */
import { Drawer, Select } from "@mantine/core";
import { useState } from "react";
import type { Run } from "../app/Shell";
import { useAddress } from "../client/address";
import { api, placed, type Schemas } from "../client/api";
import { useValued } from "../client/valued";
import { DataTable, ROOM } from "../ui/DataTable";
import { brief, exact, gain, money, pair, share, whole, words } from "../ui/format";
import { Empty, Export, Gain, Loaded, Panel, Time } from "../ui/parts";
import { fitting, PagedTable, usePages } from "./pages";
import { PeriodFields, usePeriod } from "./Period";
import { Why } from "./Why";

const KINDS = ["trading", "fees", "funding", "settlement", "external"];

const entryKey = (row: Schemas["EntryOut"]) => [row.ref, row.venue, row.asset, row.account, row.kind, row.amount, row.ts].join(" ");

export default function Portfolio({ run }: { run: Run }) {
  const [{ kind }, put] = useAddress("kind");
  const period = usePeriod();
  const query = { ...(kind && { kind }), ...period.query };
  const [why, ask] = useState<string | null>(null);
  const balances = useValued("balances", api.useQuery("get", "/api/v1/runs/{run}/balances", { params: { path: { run: run.name } } }));
  const strategies = useValued("strategies", api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path: { run: run.name } } }));
  const ledger = usePages<Schemas["EntryOut"]>(`/api/v1/runs/${run.name}/ledger`, run.run_id, entryKey, { query });
  const { at, rest } = placed(ledger.error, ["start"]);
  return (
    <>
      <h1>Portfolio</h1>
      <div className="two">
        <Panel title="Balances">
          <Loaded query={balances} height={ROOM}>
            {(rows) => {
              const total = rows.reduce((sum, each) => sum + each.value, 0);
              const isOwing = rows.some((each) => Number(each.owed) !== 0);
              return (
                <>
                <DataTable
                  label="Balances"
                  rows={rows}
                  keyOf={(row) => row.venue + row.asset}
                  empty="No money is there."
                  columns={[
                    { name: "Venue", cell: (row) => row.venue },
                    { name: "Asset", cell: (row) => row.asset, width: "50px" },
                    { name: "Amount", cell: (row) => <span title={`${exact(row.total)} ${row.asset}`}>{brief(row.total)}</span>, isNumber: true, width: "minmax(92px, 1.4fr)" },
                    ...(isOwing ? [{ name: "Owed", cell: (row: Schemas["BalanceOut"]) => <span className={Number(row.owed) ? "careful" : undefined} title={`${exact(row.owed)} ${row.asset}, interest included`}>{brief(row.owed)}</span>, isNumber: true, width: "minmax(76px, 1fr)" }] : []),
                    { name: `Worth, ${run.currency}`, cell: (row) => money(row.value), isNumber: true, width: "minmax(96px, 1fr)" },
                    { name: "Share", cell: (row) => share(total ? row.value / total : 0), isNumber: true, width: "58px" },
                    ...(isOwing ? [] : [{ name: "Part", cell: (row: Schemas["BalanceOut"]) => <progress className="calm" max={1} value={total ? Math.max(0, row.value / total) : 0} aria-label={`Share of ${row.asset}`} />, width: "minmax(40px, 1fr)" }]),
                  ]}
                />
                {isOwing && <p className="quiet">What is owed was lent by the venue. It is part of the amount here, and deducted from the equity.</p>}
                </>
              );
            }}
          </Loaded>
        </Panel>
        <Panel title="What each strategy brought">
          <Loaded query={strategies} height={ROOM}>
            {(rows) => (
              <DataTable
                label="Contribution of strategies"
                rows={rows}
                keyOf={(row) => row.name}
                empty="No strategy runs."
                columns={[
                  { name: "Strategy", cell: (row) => row.name },
                  { name: "Capital share", cell: (row) => share(row.allocation), isNumber: true },
                  { name: "Round trips", cell: (row) => row.trades, isNumber: true },
                  { name: `Profit, ${run.currency}`, cell: (row) => <Gain of={row.profit} />, isNumber: true },
                ]}
              />
            )}
          </Loaded>
        </Panel>
      </div>
      <div className="two">
        <Panel title="Who brought what" aside={<span className="quiet">closed and open, at the rates of now</span>}>
          <Contribution run={run} />
        </Panel>
        <Panel title="How prices went together" aside={<span className="quiet">correlation of returns</span>}>
          <Correlation run={run} />
        </Panel>
      </div>
      <Panel title="Ledger" aside={<Export run={run.name} what="ledger" query={query} />}>
        <div className="row filters">
          <PeriodFields of={period} now={run.now} flaw={at.start} />
          <Select label="Kind of entry" placeholder="All" data={KINDS} value={kind} onChange={(found) => put({ kind: found })} clearable w={132} />
        </div>
        <PagedTable
          label="Ledger"
          of={fitting(ledger, rest)}
          keyOf={entryKey}
          onRow={(row) => row.ref.includes("#") && ask(row.ref)}
          empty="No line fits. Take a filter away."
          height={560}
          columns={[
            { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "150px" },
            { name: "Kind", cell: (row) => words(row.kind), width: "110px" },
            { name: "Account", cell: (row) => row.account },
            { name: "Asset", cell: (row) => row.asset, width: "70px" },
            { name: "Amount", cell: (row) => <span title={`${exact(row.amount)} ${row.asset}`}><Gain of={row.amount} text={brief(row.amount, 12)} /></span>, isNumber: true, width: "minmax(120px, 1fr)" },
            { name: "Because of", cell: (row) => <code title={row.ref}>{row.ref}</code>, width: "minmax(150px, 2fr)" },
          ]}
        />
      </Panel>
      <Drawer lockScroll={false} opened={why !== null} onClose={() => ask(null)} title="Why?" position="right" size="lg">
        {why && <Why run={run} ref={why} />}
      </Drawer>
    </>
  );
}

/** What each strategy brought in each instrument, as bars from the middle: losses to the left, gains to the right. */
function Contribution({ run }: { run: Run }) {
  const found = useValued("contribution", api.useQuery("get", "/api/v1/runs/{run}/contribution", { params: { path: { run: run.name } } }));
  return (
    <Loaded query={found} height={ROOM}>
      {(rows) => {
        if (rows.length === 0) return <Empty>Nothing was bought yet.</Empty>;
        const most = Math.max(...rows.map((each) => Math.abs(each.closed + each.open)), Number.MIN_VALUE);
        return rows.map((each) => {
          const sum = each.closed + each.open;
          return (
            <div className="brought" key={each.strategy + each.instrument}>
              <span>{pair(each.instrument)} <span className="quiet">{each.strategy}</span></span>
              <progress className="ask left" max={most} value={Math.max(0, -sum)} aria-hidden />
              <progress className="bid" max={most} value={Math.max(0, sum)} aria-hidden />
              <span className="number" title={`closed ${gain(each.closed)}, open ${gain(each.open)}`}><Gain of={sum} /> <span className="quiet">{run.currency}</span></span>
            </div>
          );
        });
      }}
    </Loaded>
  );
}

function Correlation({ run }: { run: Run }) {
  const found = api.useQuery("get", "/api/v1/runs/{run}/correlation", { params: { path: { run: run.name } } });
  return (
    <Loaded query={found} height={ROOM}>
      {(data) =>
        data.bars < 3 || data.instruments.length < 2 ? (
          <Empty>It takes two instruments and three bars of each.</Empty>
        ) : (
          <>
            <div className="scroll">
              <table className="plain correlation">
                <thead>
                  <tr>
                    <td />
                    {data.instruments.map((each) => <th scope="col" key={each} className="number">{pair(each).split("/")[0]}</th>)}
                  </tr>
                </thead>
                <tbody>
                  {data.instruments.map((each, row) => (
                    <tr key={each}>
                      <th scope="row">{pair(each)}</th>
                      {data.matrix[row]?.map((value, column) => (
                        <td key={data.instruments[column]} className="number" style={{ background: value === null || row === column ? undefined : `color-mix(in srgb, ${value < 0 ? "#e03131" : "#0b7285"} ${Math.round(Math.abs(value) * 45)}%, transparent)` }}>
                          {value === null ? "–" : value.toFixed(2)}
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            <p className="quiet">Over the newest {whole(data.bars)} bars of {data.timeframe}.</p>
          </>
        )
      }
    </Loaded>
  );
}
