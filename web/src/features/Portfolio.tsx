/** What is owned, where it lies, and the ledger in which every cent is explained. */
import { Select } from "@mantine/core";
import { useState } from "react";
import type { Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { DataTable } from "../ui/DataTable";
import { exact, money, share, words } from "../ui/format";
import { Failure, Gain, Loaded, Panel, Time } from "../ui/parts";
import { usePages } from "./pages";

const KINDS = ["trade", "fee", "funding", "external", "profit"];

export default function Portfolio({ run }: { run: Run }) {
  const [kind, setKind] = useState<string | null>(null);
  const balances = api.useQuery("get", "/api/v1/runs/{run}/balances", { params: { path: { run: run.name } } });
  const strategies = api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path: { run: run.name } } });
  const ledger = usePages<Schemas["EntryOut"]>(`/api/v1/runs/${run.name}/ledger`, run.seq, kind ? { kind } : {});
  return (
    <>
      <h1>Portfolio</h1>
      <div className="two">
        <Panel title="Balances">
          <Loaded query={balances}>
            {(rows) => {
              const total = rows.reduce((sum, each) => sum + each.value, 0);
              return (
                <DataTable
                  label="Balances"
                  rows={rows}
                  keyOf={(row) => row.venue + row.asset}
                  empty="No money is there."
                  columns={[
                    { name: "Venue", cell: (row) => row.venue },
                    { name: "Asset", cell: (row) => row.asset },
                    { name: "Amount", cell: (row) => exact(row.total), isNumber: true },
                    { name: `Worth, ${run.currency}`, cell: (row) => money(row.value), isNumber: true },
                    { name: "Share", cell: (row) => share(total ? row.value / total : 0), isNumber: true },
                  ]}
                />
              );
            }}
          </Loaded>
        </Panel>
        <Panel title="What each strategy brought">
          <Loaded query={strategies}>
            {(rows) => (
              <DataTable
                label="Contribution of strategies"
                rows={rows}
                keyOf={(row) => row.name}
                empty="No strategy runs."
                columns={[
                  { name: "Strategy", cell: (row) => row.name },
                  { name: "Share of the capital", cell: (row) => share(row.allocation), isNumber: true },
                  { name: "Round trips", cell: (row) => row.trades, isNumber: true },
                  { name: `Profit, ${run.currency}`, cell: (row) => <Gain of={row.profit} />, isNumber: true },
                ]}
              />
            )}
          </Loaded>
        </Panel>
      </div>
      <Panel title="Ledger" aside={<Select aria-label="Kind of entry" placeholder="All kinds" size="xs" data={KINDS} value={kind} onChange={setKind} clearable />}>
        {ledger.error && <Failure error={ledger.error} />}
        <DataTable
          label="Ledger"
          rows={ledger.rows}
          keyOf={(row) => `${row.ref}${row.account}${row.amount}${row.ts}${row.kind}`}
          onEnd={ledger.more}
          empty="No line of this kind."
          height={560}
          columns={[
            { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "150px" },
            { name: "Kind", cell: (row) => words(row.kind), width: "110px" },
            { name: "Account", cell: (row) => row.account },
            { name: "Asset", cell: (row) => row.asset, width: "70px" },
            { name: "Amount", cell: (row) => <Gain of={row.amount} text={exact(row.amount)} />, isNumber: true },
            { name: "Because of", cell: (row) => <code>{row.ref}</code> },
          ]}
        />
      </Panel>
    </>
  );
}
