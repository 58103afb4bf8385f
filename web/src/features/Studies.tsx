/** Searches on record that were not started here: studies of `abidance optimize`, read only. */
import { Drawer } from "@mantine/core";
import { useEffect, useState } from "react";
import type { Schemas } from "../client/api";
import { exact, whole, words } from "../ui/format";
import { Facts, Panel, Stat, State, Time } from "../ui/parts";
import { PagedTable, usePages } from "./pages";

type Study = Schemas["StudyOut"];
type Trial = Schemas["StudyTrialOut"];
const trialKey = (row: Trial) => String(row.number);
export const short = (value: unknown) => (typeof value === "number" ? exact(Math.round(value * 10_000) / 10_000) : String(value ?? "–"));
/** An objective without its direction. */
const named = (objective: string) => words(objective.split(":")[0] ?? "").toLowerCase();
const scoresOf = (of: Study, scores: (number | null)[]) => of.objectives.map((each, at) => `${named(each)} ${short(scores[at])}`).join(", ");

export function Studies() {
  const [chosen, choose] = useState<Study | null>(null);
  const all = usePages<Study>("/api/v1/studies", "", (row) => row.name, { mayChange: (row) => row.state === "running", refetchInterval: 5_000 });
  const studies = { ...all, data: all.data?.filter((each) => !each.is_ours) };
  const isEmpty = studies.data?.length === 0;
  useEffect(() => {
    if (isEmpty) all.more(); // all that came until now are those of this page
  });
  if (isEmpty && !all.error) return null;
  return (
    <Panel title="Searches of the terminal" aside={<span className="quiet">studies of <code>abidance optimize</code>, which goes on with them</span>}>
      <PagedTable
        label="Studies"
        of={studies}
        keyOf={(row) => row.name}
        onRow={choose}
        empty="There is none."
        columns={[
          { name: "Study", cell: (row) => row.name, width: "minmax(120px, 2fr)" },
          { name: "State", cell: (row) => <State of={row.problem ? "failed" : row.state} />, width: "90px" },
          { name: "Begun, UTC", cell: (row) => <Time ms={row.begun} isBrief />, width: "120px" },
          { name: "Changed, UTC", cell: (row) => <Time ms={row.changed} isBrief />, width: "120px" },
          { name: "Trials", cell: (row) => whole(row.done), isNumber: true },
          { name: "Without a score", cell: (row) => whole(row.refused + row.failed), isNumber: true, width: "110px" },
          { name: "Best", cell: (row) => row.problem || (row.best ? scoresOf(row, row.best.scores) : row.objectives.length > 1 ? "a front of several" : "–"), width: "minmax(140px, 2fr)" },
        ]}
      />
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => choose(null)} title={chosen?.name} position="right" size="lg">
        {chosen && <One of={chosen} />}
      </Drawer>
    </Panel>
  );
}

function One({ of }: { of: Study }) {
  const trials = usePages<Trial>(`/api/v1/studies/${encodeURIComponent(of.name)}/trials`, of.name, trialKey, { mayChange: (row) => row.state === "running" || row.state === "waiting", refetchInterval: of.state === "running" ? 2_000 : undefined });
  return (
    <div className="stack">
      {of.best && (
        <>
          <div className="stats">
            {of.objectives.map((each, at) => <Stat key={each} label={`Best ${named(each)}`} note={`trial ${of.best?.number}`}>{short(of.best?.scores[at])}</Stat>)}
          </div>
          <Facts of={of.best.parameters} />
        </>
      )}
      <PagedTable
        label={`Trials of ${of.name}`}
        of={trials}
        keyOf={trialKey}
        height={520}
        empty="No trial has begun."
        columns={[
          { name: "Trial", cell: (row) => row.number, isNumber: true, width: "50px" },
          { name: "State", cell: (row) => <span title={row.reason}><State of={row.state} /></span>, width: "86px" },
          { name: "Scores", cell: (row) => (row.scores.length ? scoresOf(of, row.scores) : row.reason), width: "minmax(120px, 2fr)" },
          { name: "With", cell: (row) => Object.entries(row.parameters).map(([name, value]) => `${name} ${short(value)}`).join(", "), width: "minmax(120px, 2fr)" },
        ]}
      />
    </div>
  );
}
