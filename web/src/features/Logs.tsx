/** What a bot, or the server, writes into its log, newest first, as it comes; a line opens whole, with its order. */
import { Button, Drawer, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { useAddress, useTyped } from "../client/address";
import { placed, type Schemas } from "../client/api";
import { type Level, type Line, useLog } from "../client/log";
import { DataTable } from "../ui/DataTable";
import { sized, utc, words } from "../ui/format";
import { Export, Facts, Failure, Loaded, Panel, State, Time } from "../ui/parts";
import { opened, spoken } from "./lines";
import { PeriodFields, usePeriod } from "./Period";
import { Why } from "./Why";

const LEVELS: Level[] = ["info", "warning", "error"];
const [BOT, SERVER] = ["bot", "server"];
const NEWEST = "";
const NOTHING = { rows: [], next: null, page: undefined, error: null };

export default function Logs({ run, me }: { run: Run | undefined; me: Me }) {
  const [source, setSource] = useState(run ? BOT : SERVER);
  const [asked, put] = useAddress("level");
  const level = LEVELS.find((each) => each === asked.level) ?? null;
  const { text, setText, value: contains } = useTyped("contains");
  const period = usePeriod();
  const wanted = { ...(level && { level }), ...(contains && { contains }), ...period.query };
  const [file, setFile] = useState(NEWEST);
  const [now] = useState(Date.now);
  const [chosen, choose] = useState<Line | null>(null);
  const ofBot = source === BOT ? run : undefined;
  const log = useLog(ofBot ? ofBot.name : null, file, wanted);
  const { at, rest } = placed(log.error, ["contains", "file", "start"]);
  const fitting = { ...log, error: rest, data: log.data ?? (log.error && !rest ? NOTHING : undefined) };
  const { files } = log;
  const older = before(files, log.data?.rows.at(-1)?.file ?? log.data?.page?.file);
  const order = chosen && ofBot ? orderOf(chosen.data) : undefined;
  const sources = [...(run ? [{ value: BOT, label: `The bot ${run.name}` }] : []), { value: SERVER, label: "This server" }];
  return (
    <>
      <div className="panel-head">
        <h1>Logs</h1>
        <Export run={ofBot ? ofBot.name : null} what="logs" query={{ ...wanted, ...(file && { file }) }} />
      </div>
      <div className="row">
        {me.role === "admin" && <Select label="Source" data={sources} value={source} onChange={(found) => { if (found) { setSource(found); setFile(NEWEST); } }} allowDeselect={false} w={220} />}
        <Select label="Level" placeholder="All" data={LEVELS} value={level} onChange={(found) => put({ level: found })} clearable w={140} />
        <TextInput label="Contains" placeholder="an order's id, a word" value={text} onChange={(e) => setText(e.currentTarget.value)} error={at.contains} w={300} />
        <PeriodFields of={period} now={now} flaw={at.start} />
        {(files.length > 1 || file !== NEWEST) && (
          <Select label="File" placeholder="Not kept any more" data={[{ value: NEWEST, label: "The newest" }, ...files.slice(1).map((each) => ({ value: each.file, label: `until ${utc(each.changed).slice(0, 16)}, ${sized(each.size)}` }))]} value={file} onChange={(found) => setFile(found ?? NEWEST)} onDropdownOpen={() => void log.renew()} error={at.file} allowDeselect={false} w={270} />
        )}
      </div>
      <Panel>
        <div className="logs">
          <Loaded query={fitting} height={640}>
            {({ rows }) => (
              <DataTable
                label="Log"
                rows={rows}
                keyOf={(row) => `${row.file} ${row.at}`}
                empty={level || contains || !period.isAll ? `No line${files.length > 1 ? " of this file" : ""} fits. Take a filter away.` : `The ${ofBot ? "bot" : "server"} has written nothing yet.`}
                height={640}
                onRow={choose}
                onEnd={log.more}
                columns={[
                  { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "160px" },
                  { name: "Level", cell: (row) => <State of={row.level} />, width: "90px" },
                  { name: "Event", cell: (row) => words(row.event), width: "170px" },
                  { name: "What", cell: (row) => <What of={row} />, width: "minmax(300px, 4fr)" },
                ]}
              />
            )}
          </Loaded>
          {log.data?.next === null && older && (
            <div className="row older">
              <span className="quiet">{period.isAll ? "This file begins here." : "No more of these days stands in this file."} What was written before it was put away.</span>
              <Button size="compact-sm" variant="light" onClick={() => setFile(older.file)}>Read the file before it</Button>
            </div>
          )}
          {log.data?.error ? (
            <div className="form above">
              <Failure error={log.data.error} />
              <Button size="xs" variant="light" onClick={log.retry}>Read older lines again</Button>
            </div>
          ) : null}
        </div>
      </Panel>
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => choose(null)} title={chosen ? words(chosen.event) : ""} position="right" size="lg">
        {chosen && <Facts of={{ time_UTC: chosen.ts && <Time ms={chosen.ts} />, level: chosen.level, ...opened(chosen) }} />}
        {order && ofBot && (
          <>
            <h2 className="above">The order</h2>
            <Why run={ofBot} order={order} />
          </>
        )}
      </Drawer>
    </>
  );
}

/** Return the file that was put away before one of them. */
function before(files: Schemas["LogFileOut"][], file: string | undefined) {
  const at = files.findIndex((each) => each.file === file);
  return at < 0 ? undefined : files[at + 1];
}

function What({ of }: { of: Line }) {
  const text = spoken(of);
  return <span title={text}>{text}</span>;
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
