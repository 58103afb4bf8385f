/** The strategies of a run: how each does, its parameters as a form, start, pause, stop and its share of the capital. */
import { Button, NumberInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { type FormEvent, useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { pair, share } from "../ui/format";
import { Failure, Gain, Loaded, Panel, Stat, State } from "../ui/parts";
import { BotButtons } from "./Bots";
import { ParameterFields, propertiesOf, type Value } from "./ParameterFields";

export default function Strategies({ run, me }: { run: Run; me: Me }) {
  const strategies = api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path: { run: run.name } } });
  return (
    <>
      <div className="panel-head">
        <h1>Strategies</h1>
        <BotButtons run={run} me={me} />
      </div>
      <Loaded query={strategies}>{(rows) => rows.map((each) => <One key={each.name} of={each} run={run} me={me} />)}</Loaded>
    </>
  );
}

function One({ of, run, me }: { of: Schemas["RunStrategyOut"]; run: Run; me: Me }) {
  const path = { run: run.name, name: of.name };
  const change = api.useMutation("patch", "/api/v1/runs/{run}/strategies/{name}", {
    onSuccess: () => notifications.show({ message: `${of.name}: done, and on record.` }),
  });
  const mayAct = me.role !== "viewer" && run.is_running;
  const set = (status: "active" | "paused" | "stopped") => change.mutate({ params: { path }, body: { status } });
  return (
    <Panel
      title={of.name === of.strategy ? of.name : `${of.name} (${of.strategy})`}
      aside={
        <>
          <State of={of.status} />
          {mayAct && of.status !== "active" && <Button size="xs" variant="light" onClick={() => set("active")}>Start</Button>}
          {mayAct && of.status === "active" && <Button size="xs" variant="light" onClick={() => set("paused")}>Pause entries</Button>}
          {mayAct && of.status !== "stopped" && <Button size="xs" variant="outline" color="red.7" onClick={() => set("stopped")}>Stop</Button>}
        </>
      }
    >
      <div className="stats">
        <Stat label={`Profit, ${run.currency}`}>
          <Gain of={of.profit} />
        </Stat>
        <Stat label="Round trips" note={of.win_rate === null ? undefined : `${share(of.win_rate)} won`}>
          {of.trades}
        </Stat>
        <Stat label="Open positions">{of.open_positions}</Stat>
        <Stat label="Share of the capital">{share(of.allocation)}</Stat>
      </div>
      <p className="quiet">
        Trades {of.instruments.map(pair).join(", ")} on bars of {of.timeframe}.
      </p>
      {of.standing.reason && <p>{of.standing.reason}</p>}
      {change.error && <Failure error={change.error} />}
      <Parameters
        key={JSON.stringify(of.parameters)}
        of={of}
        run={run}
        isReadOnly={!mayAct}
        isBusy={change.isPending}
        onSave={(parameters, allocation) => change.mutate({ params: { path }, body: { parameters, allocation } })}
      />
    </Panel>
  );
}

function Parameters({
  of,
  run,
  isReadOnly,
  isBusy,
  onSave,
}: {
  of: Schemas["RunStrategyOut"];
  run: Run;
  isReadOnly: boolean;
  isBusy: boolean;
  onSave: (parameters: Record<string, Value>, allocation: number | null) => void;
}) {
  const [values, setValues] = useState<Record<string, Value>>({});
  const [allocation, setAllocation] = useState<number | null>(null);
  const schema = api.useQuery("get", "/api/v1/runs/{run}/strategies/{name}/schema", { params: { path: { run: run.name, name: of.name } } }, { staleTime: 60_000 });
  const properties = propertiesOf(schema.data);
  const send = (event: FormEvent) => {
    event.preventDefault();
    onSave(values, allocation);
  };
  const put = (name: string, value: Value) => setValues((before) => ({ ...before, [name]: value }));
  const hasChanged = Object.keys(values).length > 0 || allocation !== null;
  return (
    <form className="row" onSubmit={send} aria-label={`Parameters of ${of.name}`}>
      <ParameterFields properties={properties} now={of.parameters} values={values} isReadOnly={isReadOnly} onChange={put} />
      <NumberInput label="Share of capital" description="above 0, up to 1" value={allocation ?? of.allocation} min={0.01} max={1} step={0.05} disabled={isReadOnly} onChange={(found) => found !== "" && setAllocation(Number(found))} w={150} />
      {!isReadOnly && (
        <Button type="submit" disabled={!hasChanged} loading={isBusy}>
          Apply to the running bot
        </Button>
      )}
    </form>
  );
}
