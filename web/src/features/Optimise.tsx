/** Searches for parameters: asked for by a form, watched while they run, read and applied when they are done. */
import { Button, Checkbox, MultiSelect, Progress, Select, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Me } from "../app/Shell";
import { api, placed, type Problem, type Schemas } from "../client/api";
import { isBusy } from "../client/work";
import { Dots, HeatMap } from "../ui/charts2d";
import { DataTable } from "../ui/DataTable";
import { share, typed, words } from "../ui/format";
import { NumberField } from "../ui/NumberField";
import { Empty, Failure, Form, Loaded, Meter, Panel, Stat, State, Time } from "../ui/parts";
import { Apply, type Config } from "./Apply";
import { mayAct } from "./may";
import { Older, SHORT, useWorkPages } from "./pages";
import { metricText } from "./Metrics";
import { propertiesOf } from "./ParameterFields";
import { Studies, short } from "./Studies";
import { named, SUBJECT, useSubject } from "./Subject";

type Search = Schemas["SearchOut"];
const OBJECTIVES = ["sharpe", "sortino", "calmar", "total_return", "profit_factor", "max_drawdown", "win_rate", "turnover:min"];

export default function Optimise({ me }: { me: Me }) {
  const [open, setOpen] = useState(named);
  const list = useWorkPages<Search>("/api/v1/searches", { kind: "search", size: SHORT });
  return (
    <>
      <h1>Optimise</h1>
      {mayAct(me) && <Start onStarted={setOpen} />}
      <Panel title="Searches">
        <Loaded query={list}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty>No search was started here yet. Choose a strategy and ranges above.</Empty>
            ) : (
              <div>
                {rows.map((each) => (
                  <Row key={each.id} of={each} me={me} isOpen={open === each.id} onOpen={() => setOpen(open === each.id ? null : each.id)} />
                ))}
                <Older of={list} />
              </div>
            )
          }
        </Loaded>
      </Panel>
      <Studies />
    </>
  );
}

/** A score as its metric is written; an objective may bear its direction. */
const scoreText = (objective: string, score: number | null | undefined) => metricText(objective.split(":")[0] ?? "", score);

/** Return an error in which a range that was sent is called by the parameter that it is of. */
function withRanges(error: unknown, sent: readonly string[]): unknown {
  const problem = error as Problem | null;
  if (!problem?.errors) return error;
  const named = (field: string) => field.replace(/^spaces\.(\d+)$/, (whole, at) => sent[Number(at)]?.split("=")[0] ?? whole);
  return { ...problem, errors: problem.errors.map((each) => ({ ...each, field: named(each.field) })) };
}

function Start({ onStarted }: { onStarted: (id: string) => void }) {
  const queries = useQueryClient();
  const [until, setUntil] = useState("20241001");
  const [objectives, setObjectives] = useState<string[]>(["sharpe"]);
  const [sampler, setSampler] = useState<string | null>("");
  const [trials, setTrials] = useState<number | string>(100);
  const [ranges, setRanges] = useState<Record<string, string>>({});
  const subject = useSubject(() => setRanges({}));
  const start = api.useMutation("post", "/api/v1/searches", {
    onSuccess: (found) => {
      void queries.invalidateQueries();
      onStarted((found as unknown as Search).id);
    },
  });
  const properties = Object.entries(propertiesOf(subject.strategy?.parameters));
  const error = useMemo(() => withRanges(start.error, start.variables?.body.spaces ?? []), [start.error, start.variables]);
  const { at, rest } = placed(error, [...SUBJECT, "objectives", "sampler", "trials", "train_until", ...properties.map(([name]) => name)]);
  const send = () =>
    start.mutate({
      body: {
        label: subject.label,
        config: subject.config(),
        objectives,
        requirements: [],
        spaces: Object.entries(ranges).filter(([, text]) => text.trim()).map(([name, text]) => `${name}=${text.replaceAll(/\s+/g, "")}`),
        sampler: (sampler || null) as Schemas["SearchIn"]["sampler"],
        trials: typed(trials),
        patience: null,
        seed: 0,
        train_until: until.trim() || null,
      },
    });
  return (
    <Panel title="New search">
      <Loaded query={subject.query} height={330}>
        {() => (
          <Form control="search" error={error} onSend={send}>
            <div className="row">
              {subject.fields(at)}
              <TextInput label="Search until" description="judged on what comes after" value={until} onChange={(e) => setUntil(e.currentTarget.value)} error={at.train_until} w={190} />
            </div>
            <div className="row">
              <MultiSelect label="Objectives" searchable data={OBJECTIVES} value={objectives} onChange={setObjectives} error={at.objectives} maxValues={3} maw={420} />
              <Select label="Sampler" data={[{ value: "", label: "chosen for you" }, "tpe", "cmaes", "nsga2", "qmc", "grid", "random"]} value={sampler} onChange={setSampler} error={at.sampler} allowDeselect={false} w={160} />
              <NumberField label="Trials" description="empty: 100, or a grid whole" value={trials} onChange={setTrials} error={at.trials} w={190} />
            </div>
            {properties.length > 0 && (
              <div className="row">
                {properties.map(([name, rule]) => (
                  <TextInput
                    key={name}
                    label={name}
                    description={rule.minimum !== undefined ? "from:to:step, a,b or one value" : `now ${String(rule.default ?? "")}`}
                    placeholder={rule.minimum !== undefined ? `${rule.minimum}:${rule.maximum}` : String(rule.default ?? "")}
                    value={ranges[name] ?? ""}
                    onChange={(e) => { const text = e.currentTarget.value; setRanges((before) => ({ ...before, [name]: text })); }}
                    error={at[name]}
                    w={190}
                  />
                ))}
              </div>
            )}
            <span className="quiet">An empty range is the one that the strategy declares. The best of many tries looks better than it is: ask for a verdict.</span>
            <Failure error={rest} />
            <div>
              <Button type="submit" loading={start.isPending}>
                Search
              </Button>
            </div>
          </Form>
        )}
      </Loaded>
    </Panel>
  );
}

function Row({ of, me, isOpen, onOpen }: { of: Search; me: Me; isOpen: boolean; onOpen: () => void }) {
  const cancel = api.useMutation("delete", "/api/v1/searches/{id}");
  return (
    <div className="backtest search">
      <div className="row">
        <Button variant="subtle" size="compact-sm" onClick={onOpen} aria-expanded={isOpen}>
          {of.label}
        </Button>
        <State of={of.state} />
        <span className="quiet">
          <Time ms={of.created} /> · {of.done} of {of.total || "?"} trials
        </span>
        {isBusy(of) && <Progress value={of.progress * 100} w={160} aria-label="Progress" />}
        {isBusy(of) && mayAct(me) && (
          <Button size="compact-xs" variant="light" onClick={() => cancel.mutate({ params: { path: { id: of.id } } })}>
            Cancel
          </Button>
        )}
      </div>
      {isBusy(of) && of.says && <p className="quiet" role="status">{of.says}</p>}
      {cancel.error && <Failure error={cancel.error} />}
      {of.error && <p className="down">{of.error} {of.remedy}</p>}
      {isOpen && <Standing of={of} />}
      {isOpen && of.state === "done" && <Found of={of} me={me} />}
    </div>
  );
}

function Standing({ of }: { of: Search }) {
  const best = of.best;
  const points = useMemo(() => (of.improvements ?? []).map((each) => ({ x: each.number, y: each.score, title: `trial ${each.number}: ${scoreText(of.objectives[0] ?? "", each.score)}` })), [of.improvements]);
  return (
    <>
      <div className="stats">
        {best && <Stat label={`Best ${words(of.objectives[0] ?? "")}`} note={`trial ${best.number}`}>{scoreText(of.objectives[0] ?? "", best.scores[0])}</Stat>}
        {best && Object.entries(best.parameters).map(([name, value]) => <Stat key={name} label={name}>{short(value)}</Stat>)}
        {of.objectives.length > 1 && <Stat label="On the front">{of.front}</Stat>}
        <Stat label="Without a score">{(of.refused ?? 0) + (of.failed ?? 0)}</Stat>
      </div>
      {points.length > 1 && <Dots label="Best so far" points={points} xName="trial" yName={words(of.objectives[0] ?? "")} isLine />}
    </>
  );
}

interface Trial {
  number: number;
  state: string;
  parameters: Record<string, number | string | boolean>;
  scores: number[];
  metrics: Record<string, number | null>;
  reason: string;
}
interface Findings {
  best: number | null;
  front: number[];
  objectives: { name: string; direction: "max" | "min" }[];
  importance: Record<string, number>;
  ground: { shape: string; sentence: string } | null;
  judged: { label: string; before: Record<string, number | null> | string; after: Record<string, number | null> | string }[];
  period: { searched: string; held_back: string };
  trials: Trial[];
  config: Config;
}

/** Return each setting once: with the trial that is called the best of it, else with its first. */
export function distinct<T extends Pick<Trial, "number" | "parameters">>(trials: readonly T[], best: number | null): T[] {
  const seen = new Set<string>();
  return [...trials]
    .sort((one, other) => Number(other.number === best) - Number(one.number === best))
    .filter(({ parameters }) => {
      const key = JSON.stringify(Object.entries(parameters).sort(([one], [other]) => one.localeCompare(other)));
      return !seen.has(key) && seen.add(key);
    });
}

function Found({ of, me }: { of: Search; me: Me }) {
  const found = api.useQuery("get", "/api/v1/searches/{id}/result", { params: { path: { id: of.id } } }, { staleTime: Infinity });
  return <Loaded query={found}>{(data) => <Shown of={of} me={me} found={data as unknown as Findings} />}</Loaded>;
}

function Shown({ of, me, found }: { of: Search; me: Me; found: Findings }) {
  const first = found.objectives[0];
  const isMore = first?.direction !== "min";
  const scored = useMemo(
    () => distinct(found.trials.filter((each) => each.scores.length > 0), found.best).sort((a, b) => ((b.scores[0] ?? 0) - (a.scores[0] ?? 0)) * (isMore ? 1 : -1)),
    [found.trials, found.best, isMore],
  );
  const shares = Object.entries(found.importance).sort((a, b) => b[1] - a[1]);
  const names = shares.length > 0 ? shares.map(([name]) => name) : Object.keys(scored[0]?.parameters ?? {});
  const front = new Set(found.front);
  const pareto = scored.map((each) => ({ x: each.scores[1] ?? 0, y: each.scores[0] ?? 0, title: `trial ${each.number}`, isMarked: front.has(each.number) }));
  return (
    <>
      {found.ground && <p className={found.ground.shape === "peak" ? "warn" : "quiet"}>{found.ground.sentence}</p>}
      {found.objectives.length > 1 && <Dots label="Pareto front" points={pareto} xName={words(found.objectives[1]?.name ?? "")} yName={words(first?.name ?? "")} />}
      {shares.length > 0 && (
        <Panel title="What matters">
          {shares.map(([name, value]) => <Meter key={name} label={name} used={value} limit={1} text={share(value, 0)} isPlain />)}
        </Panel>
      )}
      {names.length > 1 && <Map trials={scored} names={names} isMore={isMore} />}
      {found.judged.length > 0 && <Judged of={found} />}
      <Trials of={of} me={me} rows={scored} found={found} />
    </>
  );
}

function Map({ trials, names, isMore }: { trials: Trial[]; names: string[]; isMore: boolean }) {
  const [across, setAcross] = useState(names[0] ?? "");
  const [up, setUp] = useState(names[1] ?? "");
  const cells = useMemo(
    () => trials.map((each) => ({ x: each.parameters[across] ?? "", y: each.parameters[up] ?? "", value: each.scores[0] ?? 0 })),
    [trials, across, up],
  );
  return (
    <Panel title="Two parameters" aside={<span className="quiet">the best score of each field; a plateau is trusted more than a peak</span>}>
      <div className="row">
        <Select label="Across" data={names} value={across} onChange={(found) => found && setAcross(found)} allowDeselect={false} w={160} />
        <Select label="Up" data={names} value={up} onChange={(found) => found && setUp(found)} allowDeselect={false} w={160} />
      </div>
      <HeatMap cells={cells} xName={across} yName={up} isMore={isMore} />
    </Panel>
  );
}

function Judged({ of }: { of: Findings }) {
  const shown = ["total_return", "sharpe", "max_drawdown", "trades"];
  const cell = (found: Record<string, number | null> | string, name: string) => (typeof found === "string" ? "–" : metricText(name, found[name]));
  return (
    <Panel title="On bars that the search never saw" aside={<span className="quiet">{of.period.held_back}</span>}>
      <div className="scroll" role="region" aria-label="Judged" tabIndex={0}>
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Setting</th>
            {shown.map((each) => <th scope="col" className="number" key={each}>{words(each)}</th>)}
          </tr>
        </thead>
        <tbody>
          {of.judged.flatMap((each) => [["searched", each.before] as const, ["after", each.after] as const].map(([when, figures]) => (
            <tr key={each.label + when}>
              <th scope="row">{each.label}, {when}</th>
              {shown.map((name) => <td className="number" key={name}>{cell(figures, name)}</td>)}
            </tr>
          )))}
        </tbody>
      </table>
      </div>
    </Panel>
  );
}

function Trials({ of, me, rows, found }: { of: Search; me: Me; rows: Trial[]; found: Findings }) {
  const [chosen, choose] = useState<number | null>(found.best);
  const trial = rows.find((each) => each.number === chosen);
  const names = Object.keys(rows[0]?.parameters ?? {});
  return (
    <Panel title="Trials" aside={<><span className="quiet">each setting once</span> <a href={`/api/v1/searches/${of.id}/page`} download>Save as a page</a></>}>
      <DataTable
        label="Trials"
        rows={rows}
        keyOf={(row) => String(row.number)}
        empty="No trial has a score."
        columns={[
          { name: "Choose", cell: (row) => <Checkbox aria-label={`Choose trial ${row.number}`} checked={chosen === row.number} onChange={() => choose(row.number)} />, width: "70px" },
          { name: "Trial", cell: (row) => row.number, isNumber: true, width: "70px" },
          ...found.objectives.map((each, at) => ({ name: words(each.name), cell: (row: Trial) => metricText(each.name, row.scores[at]), isNumber: true })),
          ...names.map((name) => ({ name, cell: (row: Trial) => short(row.parameters[name]), isNumber: true })),
          { name: "Return", cell: (row) => share(row.metrics.total_return ?? null, 1), isNumber: true },
          { name: "Trades", cell: (row) => short(row.metrics.trades ?? "–"), isNumber: true },
        ]}
      />
      {mayAct(me) && trial && <Apply of={of} me={me} config={found.config} trial={trial} />}
    </Panel>
  );
}
