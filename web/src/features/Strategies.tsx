/** The strategies of a run: how each does, its parameters as a form, start, pause, stop and its share of the capital. */
import { Alert, Button, Drawer } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, placed, type Schemas } from "../client/api";
import { useValued } from "../client/valued";
import { type Column, DataTable } from "../ui/DataTable";
import { baseOf, inUnit, pair, quoteOf, share, typed, words } from "../ui/format";
import { NumberField } from "../ui/NumberField";
import { Facts, Failure, Form, Gain, Loaded, Panel, Stat, State, Time, Told } from "../ui/parts";
import { Act } from "../ui/reach";
import { BotButtons } from "./Bots";
import { measured, sideOf } from "./columns";
import { maySteer, stepsOf } from "./may";
import { ParameterFields, propertiesOf, type Value } from "./ParameterFields";
import { Performance } from "./Performance";
import { Why } from "./Why";

export default function Strategies({ run, me }: { run: Run; me: Me }) {
  const strategies = useValued("strategies", api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path: { run: run.name } } }));
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
export const refusedBy = (answers: Schemas["AnswerOut"][]) => answers.flatMap((each) => each.notices).filter((each) => each.level === "warning" || each.level === "error");

export function RefusedBy({ answers }: { answers: Schemas["AnswerOut"][] }) {
  const found = refusedBy(answers);
  if (found.length === 0) return null;
  return (
    <Alert color="red" variant="light" role="alert">
      {found.map((each) => <p key={each.code + each.text}><Told text={each.text} /></p>)}
    </Alert>
  );
}

function One({ of, run, me }: { of: Schemas["RunStrategyOut"]; run: Run; me: Me }) {
  const path = { run: run.name, name: of.name };
  const change = api.useMutation("patch", "/api/v1/runs/{run}/strategies/{name}", {
    onSuccess: (answers) => refusedBy(answers).length === 0 && notifications.show({ message: `${of.name}: done, and on record.` }),
  });
  const mayAct = maySteer(me, run);
  const set = (status: (typeof of)["status"]) => change.mutate({ params: { path }, body: { status } });
  return (
    <Panel
      title={of.name === of.strategy ? of.name : `${of.name} (${of.strategy})`}
      aside={
        <>
          <State of={of.status} />
          {mayAct && stepsOf(of.status).map((each) => (
            <Act key={each.to} control={`${each.to} ${run.name} ${of.name}`} size="xs" {...(each.isGrave ? { variant: "outline", color: "red.7" } : { variant: "light" })} onClick={() => set(each.to)}>
              {each.name}
            </Act>
          ))}
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
      {of.failure && <Alert color="red" variant="light"><Told text={of.failure} /></Alert>}
      <RefusedBy answers={change.data ?? []} />
      <Performance run={run} name={of.name} />
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

/** A wish of a strategy as risk met it: `order` is the id of what came of it, empty where it was refused. */
interface Signal extends Pick<Schemas["OrderOut"], "ts" | "instrument" | "side" | "confidence" | "quantity" | "decision_price"> {
  key: string;
  order: string;
  became: string;
  reason: string;
}
const PURPOSES = ["entry", "signal", "rebalance"] as const;
const SHOWN = 40;
const signalColumns = (run: Run): Column<Signal>[] => [
  { name: "Signal, UTC", cell: (row) => <Time ms={row.ts} />, width: "150px" },
  { name: "Instrument", cell: (row) => pair(row.instrument) },
  { name: "Wish", cell: (row) => sideOf(row.side) },
  { name: "Confidence", cell: (row) => share(row.confidence, 0), isNumber: true },
  measured(run, "Quantity", baseOf, (row) => row.quantity),
  measured(run, "At", quoteOf, (row) => row.decision_price),
  { name: "Became", cell: (row) => (row.order ? <State of={row.became} /> : <span title={row.reason}><State of="rejected" label="refused" /> {words(row.became).toLowerCase()}</span>), width: "minmax(180px, 2fr)" },
];

/** The newest wishes, those that became orders among those that risk refused. */
export function signalsOf(orders: readonly Schemas["OrderOut"][], refusals: readonly Schemas["RefusalOut"][]): Signal[] {
  const passed = orders.map((each) => ({ ...each, key: each.id, order: each.id, became: each.state }));
  const refused = refusals.map((each, at) => ({ ...each, key: `${each.seq} ${each.instrument} ${each.purpose} ${refusals.length - at}`, order: "", became: each.code }));
  return [...passed, ...refused].sort((one, other) => other.ts - one.ts).slice(0, SHOWN);
}

/** What a strategy wished last, with its confidence: a row says why it became an order, or why risk refused it. */
function SignalsOf({ run, name }: { run: Run; name: string }) {
  const [chosen, choose] = useState<Signal | null>(null);
  const query = { strategy: name, purpose: [...PURPOSES], by_hand: false, limit: SHOWN };
  const orders = api.useQuery("get", "/api/v1/runs/{run}/orders", { params: { path: { run: run.name }, query } });
  const refusals = api.useQuery("get", "/api/v1/runs/{run}/refusals", { params: { path: { run: run.name }, query } });
  const both = {
    data: orders.data && refusals.data && signalsOf(orders.data.items, refusals.data.items),
    error: orders.error ?? refusals.error,
    isPending: orders.isPending || refusals.isPending,
  };
  return (
    <>
      <h2 className="above">Last signals</h2>
      <Loaded query={both} height={310}>
        {(rows) => (
          <DataTable
            label={`Signals of ${name}`}
            rows={rows}
            keyOf={(row) => row.key}
            columns={signalColumns(run)}
            reserved={4}
            height={310}
            onRow={choose}
            empty={`No signal yet. ${name} wishes nothing before it has seen enough bars of ${run.instruments.map(pair).join(", ")}.`}
          />
        )}
      </Loaded>
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => choose(null)} title={chosen?.order === "" ? "Why not?" : "Why?"} position="right" size="lg">
        {chosen?.order && <Why run={run} order={chosen.order} />}
        {chosen?.order === "" && (
          <div className="stack">
            <p><State of="rejected" label="refused" /> <Told text={chosen.reason} /></p>
            <Facts of={{ time_UTC: <Time ms={chosen.ts} />, instrument: chosen.instrument, wished: `${chosen.side} ${inUnit(chosen.quantity, baseOf(chosen.instrument))} at ${inUnit(chosen.decision_price, quoteOf(chosen.instrument))}`, confidence: share(chosen.confidence, 0), code: chosen.became }} />
            <p className="quiet">All that risk refused stands under Risk, where its limits are set.</p>
          </div>
        )}
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
  const [allocation, setAllocation] = useState<number | string | null>(null);
  const schema = api.useQuery("get", "/api/v1/runs/{run}/strategies/{name}/schema", { params: { path: { run: run.name, name: of.name } } }, { staleTime: 60_000 });
  const put = (name: string, value: Value) => setValues((before) => ({ ...before, [name]: value }));
  const hasChanged = Object.keys(values).length > 0 || allocation !== null;
  return (
    <Form className="stack" label={`Parameters of ${of.name}`} control={`parameters ${run.name} ${of.name}`} error={error} onSend={() => onSave(values, allocation === null ? null : typed(allocation || 0, 0.01))}>
      <Loaded query={schema} height={96}>
        {(found) => {
          const { at, rest } = placed(error, ["allocation", ...Object.keys(propertiesOf(found))]);
          return (
          <>
          <div className="row">
            <ParameterFields properties={propertiesOf(found)} now={of.parameters} values={values} flaws={at} isReadOnly={isReadOnly} onChange={put} />
            <NumberField label="Share of capital, %" description="above 0, up to 100" value={allocation ?? typed(of.allocation ?? "", 100)} disabled={isReadOnly} onChange={setAllocation} error={at.allocation && `${at.allocation} (1 is 100 %)`} w={150} />
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
