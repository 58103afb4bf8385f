/** All long work in one list, whatever its kind: what waits, what is under way, what came of it. */
import { Button, Progress, Select } from "@mantine/core";
import { useEffect, useState } from "react";
import { Link as Go, useLocation } from "wouter";
import type { Me } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { isBusy, usePolling, useTurns } from "../client/work";
import { lasting, share, whole } from "../ui/format";
import { Failure, Loaded, Panel, Stat, State, Time } from "../ui/parts";
import { mayAct } from "./may";
import { PagedTable, useWorkPages } from "./pages";

type Job = Schemas["JobOut"];
/** Where work of each kind is asked for and read. */
const PLACES: Record<Job["kind"], string> = { backtest: "/backtests", search: "/optimise", verdict: "/backtests", download: "/data" };
const STATES = ["queued", "running", "done", "failed", "cancelled"] as const;

export default function Jobs({ me }: { me: Me }) {
  const [, go] = useLocation();
  const [state, setState] = useState<string | null>(null);
  const [kind, setKind] = useState<string | null>(null);
  const query = { ...(state && { state }), ...(kind && { kind }) };
  const read = useWorkPages<Job>("/api/v1/jobs", { query });
  const jobs = { ...read, data: read.data?.filter((each) => (!state || each.state === state) && (!kind || each.kind === kind)) };
  const counts = useCounts();
  const cancel = useCancel();
  return (
    <>
      <h1>Jobs</h1>
      <Loaded query={counts} height={66}>
        {(found) => (
          <div className="stats">
            <Stat label="Under way">{whole(found.running)}</Stat>
            <Stat label="Waiting">{whole(found.queued)}</Stat>
            <Stat label="Done">{whole(found.done)}</Stat>
            <Stat label="Failed or cancelled">{whole((found.failed ?? 0) + (found.cancelled ?? 0))}</Stat>
          </div>
        )}
      </Loaded>
      <Panel
        title="Long work"
        aside={
          <>
            <Select aria-label="State" placeholder="All states" size="xs" data={[...STATES]} value={state} onChange={setState} clearable />
            <Select aria-label="Kind" placeholder="All kinds" size="xs" data={Object.keys(PLACES)} value={kind} onChange={setKind} clearable />
          </>
        }
      >
        {cancel.error && <Failure error={cancel.error} />}
        <PagedTable
          label="Jobs"
          of={jobs}
          keyOf={(row) => row.id}
          onRow={(row) => go(`${PLACES[row.kind]}#${row.kind === "verdict" ? `verdict-${row.id}` : row.id}`)}
          height={640}
          empty={state || kind ? "No job fits. Take a filter away." : <>No long work was asked for yet. Ask for it under <Go href="/backtests">Backtests</Go>, <Go href="/optimise">Optimise</Go> or <Go href="/data">Data</Go>: it waits and runs here, one of each kind at a time.</>}
          columns={[
            { name: "Asked for, UTC", cell: (row) => <Time ms={row.created} />, width: "150px" },
            { name: "Kind", cell: (row) => row.kind, width: "90px" },
            { name: "What", cell: (row) => <span title={row.error ? `${row.error} ${row.remedy}` : row.label}>{row.label || row.strategies.join(", ")}{row.error && <span className="down"> {row.error}</span>}</span>, width: "minmax(200px, 3fr)" },
            { name: "By", cell: (row) => row.actor, width: "90px" },
            { name: "State", cell: (row) => <State of={row.state} />, width: "86px" },
            { name: "How far", cell: (row) => <Far of={row} />, width: "130px" },
            { name: "Took", cell: (row) => (row.finished ? lasting(row.finished - row.created) : "–"), isNumber: true, width: "80px" },
            ...(!mayAct(me) ? [] : [{ name: "", cell: (row: Job) => isBusy(row) && <Button size="compact-xs" variant="light" onClick={(e) => { e.stopPropagation(); cancel.act(row); }}>Cancel</Button>, width: "76px" }]),
          ]}
        />
      </Panel>
    </>
  );
}

/** How many jobs there are of each state, asked for again when one changes its own. */
function useCounts() {
  const counts = api.useQuery("get", "/api/v1/jobs/counts", {}, { refetchInterval: usePolling() });
  const [turns, refetch] = [useTurns(), counts.refetch];
  useEffect(() => void refetch(), [turns, refetch]);
  return counts;
}

function Far({ of }: { of: Job }) {
  if (!isBusy(of)) return of.state === "done" ? "all of it" : share(of.progress, 0);
  return <Progress value={of.progress * 100} aria-label={`Progress of ${of.label}`} />;
}

/** Each kind of work ends by a route of its own. */
function useCancel() {
  const backtest = api.useMutation("delete", "/api/v1/backtests/{id}");
  const search = api.useMutation("delete", "/api/v1/searches/{id}");
  const verdict = api.useMutation("delete", "/api/v1/verdicts/{id}");
  const download = api.useMutation("delete", "/api/v1/downloads/{id}");
  const ways = { backtest, search, verdict, download };
  return {
    act: (of: Job) => ways[of.kind].mutate({ params: { path: { id: of.id } } }),
    error: Object.values(ways).find((each) => each.error)?.error,
  };
}
