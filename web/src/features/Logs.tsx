/** What a bot writes into its log, newest first, filtered; a line opens whole, with the order that it is about. */
import { Drawer, Select, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useState } from "react";
import type { Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { DataTable } from "../ui/DataTable";
import { words } from "../ui/format";
import { Facts, Loaded, Panel, State, Time } from "../ui/parts";
import { Why } from "./Why";

type Line = Schemas["LogOut"];
/** What every line says alike. */
const KNOWN = new Set(["run", "bot", "logger"]);
const LEVELS = ["info", "warning", "error"] as const;

export default function Logs({ run }: { run: Run }) {
  const [level, setLevel] = useState<(typeof LEVELS)[number] | null>(null);
  const [text, setText] = useState("");
  const [chosen, choose] = useState<Line | null>(null);
  const [contains] = useDebouncedValue(text, 250);
  const logs = api.useQuery(
    "get",
    "/api/v1/runs/{run}/logs",
    { params: { path: { run: run.name }, query: { limit: 500, ...(level ? { level } : {}), ...(contains ? { contains } : {}) } } },
    { refetchInterval: 3_000 },
  );
  const order = chosen ? orderOf(chosen.data) : undefined;
  return (
    <>
      <h1>Logs</h1>
      <div className="row">
        <Select label="Level" placeholder="All" data={[...LEVELS]} value={level} onChange={(found) => setLevel(found as typeof level)} clearable w={140} />
        <TextInput label="Contains" placeholder="an order's id, a word" value={text} onChange={(e) => setText(e.currentTarget.value)} w={300} />
      </div>
      <Panel>
        <div className="logs">
          <Loaded query={logs}>
            {(page) => (
              <DataTable
                label="Log"
                rows={page.items.map((row, at) => ({ ...row, at }))}
                keyOf={(row) => `${row.at}`}
                empty={level || contains ? "No line fits. Take a filter away." : "The bot has written nothing yet."}
                height={640}
                onRow={choose}
                columns={[
                  { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "160px" },
                  { name: "Level", cell: (row) => <State of={row.level} />, width: "90px" },
                  { name: "Event", cell: (row) => words(row.event), width: "170px" },
                  { name: "What", cell: (row) => <What of={row.data} />, width: "minmax(300px, 4fr)" },
                ]}
              />
            )}
          </Loaded>
        </div>
      </Panel>
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => choose(null)} title={chosen ? words(chosen.event) : ""} position="right" size="lg">
        {chosen && <Facts of={{ time_UTC: chosen.ts && <Time ms={chosen.ts} />, level: chosen.level, ...chosen.data }} />}
        {order && (
          <>
            <h2 className="above">The order</h2>
            <Why run={run} order={order} />
          </>
        )}
      </Drawer>
    </>
  );
}

function What({ of }: { of: Record<string, unknown> }) {
  const told = Object.entries(of).filter(([name, value]) => !KNOWN.has(name) && value !== null && value !== "");
  const text = told.map(([name, value]) => `${name.replaceAll("_", " ")} ${spoken(value)}`).join(", ");
  return <span title={text}>{text}</span>;
}

/** Return a value as words: what an object holds, without its braces; ids stand in the line that is opened. */
function spoken(value: unknown): string {
  if (value === null || typeof value !== "object") return String(value);
  const told = Object.entries(value).filter(([name, each]) => each !== null && !/(^|_)id$/.test(name));
  return told.map(([, each]) => spoken(each)).join(" ");
}

/** Return the id of the order that a line is about, wherever it stands in it. */
function orderOf(data: Record<string, unknown>): string | undefined {
  for (const [name, value] of Object.entries(data)) {
    if (name === "order_id" && typeof value === "string") return value;
    const found = value && typeof value === "object" ? orderOf(value as Record<string, unknown>) : undefined;
    if (found) return found;
  }
  return undefined;
}
