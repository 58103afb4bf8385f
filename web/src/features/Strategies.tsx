/** The strategies of a run: how each does, its parameters as a form, start, pause, stop and its share of the capital. */
import { Alert, Button, Drawer, NumberInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, placed, type Schemas } from "../client/api";
import { type Column, DataTable } from "../ui/DataTable";
import { exact, pair, share } from "../ui/format";
import { Failure, Form, Gain, Loaded, Panel, Stat, State, Time, Told } from "../ui/parts";
import { BotButtons } from "./Bots";
import { ParameterFields, propertiesOf, type Value } from "./ParameterFields";
import { Why } from "./Why";

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

/** What a running bot would not do, or did otherwise than it was asked. */
const refusedBy = (answers: Schemas["AnswerOut"][]) => answers.flatMap((each) => each.notices).filter((each) => each.level === "warning" || each.level === "error");

function One({ of, run, me }: { of: Schemas["RunStrategyOut"]; run: Run; me: Me }) {
  const path = { run: run.name, name: of.name };
  const change = api.useMutation("patch", "/api/v1/runs/{run}/strategies/{name}", {
    onSuccess: (answers) => refusedBy(answers).length === 0 && notifications.show({ message: `${of.name}: done, and on record.` }),
  });
  const refused = refusedBy(change.data ?? []);
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
      {refused.length > 0 && (
        <Alert color="red" variant="light" role="alert">
          {refused.map((each) => <p key={each.code + each.text}><Told text={each.text} /></p>)}
        </Alert>
      )}
      <Parameters
        key={JSON.stringify(of.parameters)}
        of={of}
        run={run}
        isReadOnly={!mayAct}
        isBusy={change.isPending}
        error={change.error}
        onSave={(parameters, allocation) => change.mutate({ params: { path }, body: { parameters, allocation } })}
      />
      <SignalsOf run={run} name={of.name} />
    </Panel>
  );
}

type Order = Schemas["OrderOut"];
const SIGNALS = new Set(["entry", "signal", "rebalance"]);
const signalColumns: Column<Order>[] = [
  { name: "Signal, UTC", cell: (row) => <Time ms={row.ts} />, width: "150px" },
  { name: "Instrument", cell: (row) => pair(row.instrument) },
  { name: "Wish", cell: (row) => <span className={row.side === "buy" ? "up" : "down"}>{row.side}</span> },
  { name: "Confidence", cell: (row) => share(row.confidence, 0), isNumber: true },
  { name: "Quantity", cell: (row) => exact(row.quantity), isNumber: true },
  { name: "At", cell: (row) => exact(row.decision_price), isNumber: true },
  { name: "Became", cell: (row) => <State of={row.state} /> },
];

/** What a strategy wished last and risk let pass, with its confidence; a row says why. */
function SignalsOf({ run, name }: { run: Run; name: string }) {
  const [why, ask] = useState<string | null>(null);
  const orders = api.useQuery("get", "/api/v1/runs/{run}/orders", { params: { path: { run: run.name }, query: { strategy: name, limit: 40 } } });
  return (
    <>
      <h2 className="above">Last signals</h2>
      <Loaded query={orders} height={310}>
        {(page) => (
          <DataTable
            label={`Signals of ${name}`}
            rows={page.items.filter((row) => SIGNALS.has(row.purpose)).slice(0, 8)}
            keyOf={(row) => row.id}
            columns={signalColumns}
            reserved={4}
            onRow={(row) => ask(row.id)}
            empty="No signal has led to an order yet. What risk refused stands under Risk."
          />
        )}
      </Loaded>
      <Drawer lockScroll={false} opened={why !== null} onClose={() => ask(null)} title="Why?" position="right" size="lg">
        {why && <Why run={run} order={why} />}
      </Drawer>
    </>
  );
}

function Parameters({
  of,
  run,
  isReadOnly,
  isBusy,
  error,
  onSave,
}: {
  of: Schemas["RunStrategyOut"];
  run: Run;
  isReadOnly: boolean;
  isBusy: boolean;
  error: unknown;
  onSave: (parameters: Record<string, Value>, allocation: number | null) => void;
}) {
  const [values, setValues] = useState<Record<string, Value>>({});
  const [allocation, setAllocation] = useState<number | null>(null);
  const schema = api.useQuery("get", "/api/v1/runs/{run}/strategies/{name}/schema", { params: { path: { run: run.name, name: of.name } } }, { staleTime: 60_000 });
  const put = (name: string, value: Value) => setValues((before) => ({ ...before, [name]: value }));
  const hasChanged = Object.keys(values).length > 0 || allocation !== null;
  return (
    <Form className="stack" label={`Parameters of ${of.name}`} error={error} onSend={() => onSave(values, allocation)}>
      <Loaded query={schema} height={96}>
        {(found) => {
          const { at, rest } = placed(error, ["allocation", ...Object.keys(propertiesOf(found))]);
          return (
          <>
          <div className="row">
            <ParameterFields properties={propertiesOf(found)} now={of.parameters} values={values} flaws={at} isReadOnly={isReadOnly} onChange={put} />
            <NumberInput label="Share of capital" description="above 0, up to 1" value={allocation ?? of.allocation} min={0.01} max={1} step={0.05} disabled={isReadOnly} onChange={(found) => found !== "" && setAllocation(Number(found))} error={at.allocation} w={150} />
            {!isReadOnly && (
              <Button type="submit" disabled={!hasChanged} loading={isBusy}>
                Apply to the running bot
              </Button>
            )}
          </div>
          <Failure error={rest} />
          </>
          );
        }}
      </Loaded>
    </Form>
  );
}
