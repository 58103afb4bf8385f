/** What a bot writes into its log, newest first, filtered. */
import { Select, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useState } from "react";
import type { Run } from "../app/Shell";
import { api } from "../client/api";
import { DataTable } from "../ui/DataTable";
import { Loaded, Panel, State, Time } from "../ui/parts";

export default function Logs({ run }: { run: Run }) {
  const [level, setLevel] = useState<string | null>(null);
  const [text, setText] = useState("");
  const [contains] = useDebouncedValue(text, 250);
  const logs = api.useQuery(
    "get",
    "/api/v1/runs/{run}/logs",
    { params: { path: { run: run.name }, query: { limit: 500, ...(level ? { level } : {}), ...(contains ? { contains } : {}) } } },
    { refetchInterval: 3_000 },
  );
  return (
    <>
      <h1>Logs</h1>
      <div className="row">
        <Select label="Level" placeholder="All" data={["info", "warning", "error"]} value={level} onChange={setLevel} clearable w={140} />
        <TextInput label="Contains" placeholder="an order's id, a word" value={text} onChange={(e) => setText(e.currentTarget.value)} w={300} />
      </div>
      <Panel>
        <div className="logs">
          <Loaded query={logs}>
            {(rows) => (
              <DataTable
                label="Log"
                rows={rows.map((row, at) => ({ ...row, at }))}
                keyOf={(row) => `${row.at}`}
                empty="No line fits."
                height={640}
                columns={[
                  { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "160px" },
                  { name: "Level", cell: (row) => <State of={row.level} />, width: "90px" },
                  { name: "Event", cell: (row) => row.event, width: "170px" },
                  { name: "What", cell: (row) => <span title={JSON.stringify(row.data)}>{JSON.stringify(row.data)}</span>, width: "minmax(300px, 4fr)" },
                ]}
              />
            )}
          </Loaded>
        </div>
      </Panel>
    </>
  );
}
