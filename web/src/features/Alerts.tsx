/** What the bots want people to look at, over all of them: newest first, filtered, each with the way to its bot. */
import { Button, Drawer, Select } from "@mantine/core";
import { keepPreviousData } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { api, type Schemas } from "../client/api";
import { choose } from "../client/kept";
import { whole, words } from "../ui/format";
import { Facts, Panel, Stat, State, Time, Told } from "../ui/parts";
import { PagedTable, usePages } from "./pages";

type Alert = Schemas["AlertOut"];
const LEVELS = [
  { value: "warning", label: "Warnings and errors" },
  { value: "error", label: "Errors" },
  { value: "info", label: "All, news too" },
] as const;
type Level = (typeof LEVELS)[number]["value"];
/** Milliseconds: the stream tells of one bot alone. */
const EVERY = 2_000;
const alertKey = (row: Alert) => [row.run, row.ts, row.code, row.strategy, row.text].join(" ");

/** The newest alert from a level on, and how many there are. */
function useNewest(level: Level, run: string | null) {
  return api.useQuery("get", "/api/v1/alerts", { params: { query: { level, run: run ?? "", limit: 1 } } }, { refetchInterval: EVERY, placeholderData: keepPreviousData }).data;
}

export default function Alerts() {
  const [, go] = useLocation();
  const [level, setLevel] = useState<Level>("warning");
  const [run, setRun] = useState<string | null>(null);
  const [chosen, look] = useState<Alert | null>(null);
  const alerts = usePages<Alert>("/api/v1/alerts", "", alertKey, { query: { level, ...(run && { run }) }, refetchInterval: EVERY });
  const errors = useNewest("error", run);
  const both = useNewest("warning", run);
  const runs = (api.useQuery("get", "/api/v1/runs").data ?? []).map((each) => each.name).sort();
  const isBare = level === "warning" && !run;
  const open = (of: Alert, path: string) => {
    choose(of.run);
    go(path);
  };
  return (
    <>
      <h1>Alerts</h1>
      <div className="stats">
        <Stat label="Errors">{whole(errors?.total)}</Stat>
        <Stat label="Warnings">{errors && both ? whole((both.total ?? 0) - (errors.total ?? 0)) : "–"}</Stat>
        <Stat label="Newest">{both?.items[0] ? <Time ms={both.items[0].ts} isBrief /> : "–"}</Stat>
      </div>
      <Panel
        title="What to look at"
        aside={
          <>
            <Select aria-label="Level" size="xs" data={[...LEVELS]} value={level} onChange={(found) => found && setLevel(found as Level)} allowDeselect={false} />
            <Select aria-label="Bot" placeholder="All bots" size="xs" data={runs} value={run} onChange={setRun} clearable />
          </>
        }
      >
        <PagedTable
          label="Alerts"
          of={alerts}
          keyOf={alertKey}
          onRow={look}
          height={640}
          empty={isBare ? "Nothing that a person should look at. Breakers that trip, orders that a venue rejects and strategies that fail appear here." : "No alert fits. Choose another level or bot."}
          columns={[
            { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "150px" },
            { name: "Level", cell: (row) => <State of={row.level} />, width: "80px" },
            { name: "Bot", cell: (row) => row.run || "the server", width: "110px" },
            { name: "About", cell: (row) => row.strategy || "the bot", width: "120px" },
            { name: "What", cell: (row) => <span title={row.text}><Told text={row.text} /></span>, width: "minmax(260px, 4fr)" },
          ]}
        />
      </Panel>
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => look(null)} title={chosen ? words(chosen.code) : ""} position="right" size="lg">
        {chosen && (
          <div className="stack">
            <p><State of={chosen.level} /> <Told text={chosen.text} /></p>
            <Facts of={{ time_UTC: <Time ms={chosen.ts} />, bot: chosen.run || "the server", strategy: chosen.strategy }} />
            {chosen.run && (
              <div className="row">
                <Button size="xs" variant="light" onClick={() => open(chosen, "/risk")}>Its risk</Button>
                <Button size="xs" variant="light" onClick={() => open(chosen, "/orders")}>Its orders</Button>
                <Button size="xs" variant="light" onClick={() => open(chosen, "/logs")}>Its log</Button>
              </div>
            )}
          </div>
        )}
      </Drawer>
    </>
  );
}
