/** What becomes of a trial that was found: a running bot takes its parameters, a backtest or a new bot begins with them. */
import { Button, Select } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import type { Me, Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { pair } from "../ui/format";
import { Failure, written } from "../ui/parts";
import { NewBot } from "./Bots";
import { maySteer } from "./may";
import { propertiesOf, type Value } from "./ParameterFields";
import { refusedBy, RefusedBy } from "./Strategies";
import { LONGEST } from "./Subject";

type Search = Schemas["SearchOut"];
type Parameters = Record<string, Value>;
export interface Config {
  strategies: { strategy: string; parameters: Parameters }[];
  instruments: string[];
  timeframe: string;
}
export interface Setting {
  strategy: string;
  parameters: Parameters;
  instruments: string[];
  timeframe: string;
}

/** Return what a trial ran with: what it chose, and what the search left as it was. Of several strategies there is none. */
export function settingOf({ strategies, instruments, timeframe }: Config, chosen: Parameters): Setting | null {
  const [one, ...more] = strategies;
  if (!one || more.length > 0) return null;
  return { strategy: one.strategy, parameters: { ...one.parameters, ...chosen }, instruments, timeframe };
}

/** Strategies in files of one's own are named with their file, or without. */
const classOf = (strategy: string) => strategy.split(":").at(-1);

/** Return what a running strategy would be told otherwise than it has it. */
export const changesOf = (now: Parameters, wished: Parameters) =>
  Object.entries(wished).filter(([name, value]) => now[name] !== value).map(([name, value]) => `${name} ${written(now[name] ?? "–")} → ${written(value)}`);

export function Apply({ of, me, config, trial }: { of: Search; me: Me; config: Config; trial: { number: number; parameters: Parameters } }) {
  const setting = settingOf(config, trial.parameters);
  const write = api.useMutation("post", "/api/v1/searches/{id}/apply");
  const name = `trial ${trial.number}`;
  return (
    <section className="stack above" aria-label={`Apply ${name}`}>
      <h2>Apply {name}</h2>
      {setting && <ToBot key={trial.number} name={name} setting={setting} me={me} />}
      <div className="row">
        {setting && <Backtest of={of} name={name} config={{ ...config, strategies: config.strategies.map((each) => ({ ...each, parameters: setting.parameters })) }} />}
        {setting && <NewBot me={me} given={setting} control="" name={`New bot with ${name}`} />}
        <Button variant="light" size="xs" loading={write.isPending} onClick={() => write.mutate({ params: { path: { id: of.id } }, body: { trial: trial.number } })}>
          Write {name} as a file
        </Button>
      </div>
      {write.data?.trial === trial.number && <p role="status">Written: <code>{write.data.file}</code>. In a terminal: <code>{write.data.command}</code></p>}
      <Failure error={write.error} />
    </section>
  );
}

/** It is no bot's before one is chosen: what trades with real money is not the first of a list by chance. */
function ToBot({ name, setting, me }: { name: string; setting: Setting; me: Me }) {
  const [chosen, choose] = useState<string | null>(null);
  const runs = (api.useQuery("get", "/api/v1/runs", {}).data ?? []).filter((each) => maySteer(me, each));
  const run = runs.find((each) => each.name === chosen);
  return (
    <>
      <Select
        label="Running bot"
        placeholder={runs.length > 0 ? "Choose one" : "None runs"}
        disabled={runs.length === 0}
        data={runs.map((each) => ({ value: each.name, label: `${each.name}, ${each.is_real ? "LIVE" : "paper"}` }))}
        value={run?.name ?? null}
        onChange={choose}
        w={260}
      />
      {run && <ToStrategy key={run.name} run={run} name={name} setting={setting} />}
    </>
  );
}

function ToStrategy({ run, name, setting }: { run: Run; name: string; setting: Setting }) {
  const queries = useQueryClient();
  const [chosen, choose] = useState<string | null>(null);
  const strategies = api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path: { run: run.name } } });
  const change = api.useMutation("patch", "/api/v1/runs/{run}/strategies/{name}", {
    onSuccess: (answers) => {
      void queries.invalidateQueries();
      if (refusedBy(answers).length === 0) notifications.show({ message: `${run.name} trades with ${name} now; it is on record.` });
    },
  });
  const fitting = (strategies.data ?? []).filter((each) => classOf(each.strategy) === classOf(setting.strategy));
  const target = fitting.find((each) => each.name === chosen) ?? fitting[0];
  const schema = api.useQuery("get", "/api/v1/runs/{run}/strategies/{name}/schema", { params: { path: { run: run.name, name: target?.name ?? "" } } }, { enabled: target !== undefined });
  if (!strategies.data || (target && !schema.data)) return <Failure error={strategies.error ?? schema.error} />;
  if (!target) return <p className="quiet">{run.name} does not trade {setting.strategy}.</p>;
  const defaults = Object.entries(propertiesOf(schema.data)).flatMap(([name, { default: value }]) => (value === undefined ? [] : [[name, value] as const]));
  const changes = changesOf({ ...Object.fromEntries(defaults), ...target.parameters }, setting.parameters);
  const isElsewhere = target.timeframe !== setting.timeframe || target.instruments.some((each) => !setting.instruments.includes(each));
  return (
    <>
      {fitting.length > 1 && <Select label="Strategy" data={fitting.map((each) => each.name)} value={target.name} onChange={choose} allowDeselect={false} w={260} />}
      <p>{changes.length > 0 ? changes.join(", ") : `${target.name} of ${run.name} has these parameters.`}</p>
      {isElsewhere && <p className="careful">It was found on {setting.instruments.map(pair).join(", ")} in bars of {setting.timeframe}; {target.name} trades {target.instruments.map(pair).join(", ")} in bars of {target.timeframe}.</p>}
      {run.is_real && <p className="careful">This bot trades with real money.</p>}
      <RefusedBy answers={change.data ?? []} />
      <Failure error={change.error} />
      <div>
        <Button disabled={changes.length === 0} loading={change.isPending} onClick={() => change.mutate({ params: { path: { run: run.name, name: target.name } }, body: { parameters: setting.parameters } })}>
          Apply {name} to {run.name}
        </Button>
      </div>
    </>
  );
}

/** A backtest over all of the search's time, with what was held back. */
function Backtest({ of, name, config }: { of: Search; name: string; config: Config }) {
  const queries = useQueryClient();
  const [, go] = useLocation();
  const start = api.useMutation("post", "/api/v1/backtests", {
    onSuccess: (found) => {
      void queries.invalidateQueries();
      go(`/backtests#${found.id}`);
    },
  });
  const label = `${of.label.slice(0, LONGEST - name.length - 2)}, ${name}`;
  return (
    <>
      <Button size="xs" variant="light" loading={start.isPending} onClick={() => start.mutate({ body: { label, config: { ...config, timerange: of.timerange } } })}>
        Backtest {name}
      </Button>
      <Failure error={start.error} />
    </>
  );
}
