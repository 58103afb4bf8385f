/** Backtests from a form: queued, watched, opened and compared side by side. */
import { Button, Checkbox, Progress } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Me } from "../app/Shell";
import { api, placed, type Schemas } from "../client/api";
import { isBusy } from "../client/work";
import { Lines } from "../ui/charts";
import { money, reading, share, typed } from "../ui/format";
import { NumberField } from "../ui/NumberField";
import { Empty, Failure, Form, Gain, Loaded, Panel, State, Time } from "../ui/parts";
import { mayAct } from "./may";
import { Older, SHORT, useWorkPages } from "./pages";
import { Metrics, metricHint, metricLabel, metricText } from "./Metrics";
import { ParameterFields, propertiesOf, type Value } from "./ParameterFields";
import { named, namedVerdict, SUBJECT, useMoney, useSubject } from "./Subject";
import { Trades, type Written } from "./Trades";
import { OneVerdict, VerdictOf } from "./Verdict";

type Backtest = Schemas["BacktestOut"];

export default function Backtests({ me }: { me: Me }) {
  const [open, setOpen] = useState(named);
  const [verdict] = useState(namedVerdict);
  const [compared, compare] = useState<string[]>([]);
  const list = useWorkPages<Backtest>("/api/v1/backtests", { kind: "backtest", size: SHORT });
  const toggle = (id: string) => compare((before) => (before.includes(id) ? before.filter((each) => each !== id) : [...before, id].slice(-4)));
  return (
    <>
      <h1>Backtests</h1>
      {verdict && <OneVerdict id={verdict} mayAct={mayAct(me)} />}
      {mayAct(me) && <Start onStarted={setOpen} />}
      <Panel title="Done and under way" aside={compared.length > 1 ? <span className="quiet">comparing {compared.length}, below</span> : <span className="quiet">tick two or more to compare</span>}>
        <Loaded query={list}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty>No backtest was started here yet. Choose a strategy above.</Empty>
            ) : (
              <div>
                {rows.map((each) => (
                  <Row key={each.id} of={each} isOpen={open === each.id} onOpen={() => setOpen(open === each.id ? null : each.id)} onStarted={setOpen} me={me} isCompared={compared.includes(each.id)} onCompare={() => toggle(each.id)} />
                ))}
                <Older of={list} />
              </div>
            )
          }
        </Loaded>
      </Panel>
      {compared.length > 1 && <Comparison ids={compared} />}
    </>
  );
}

function useStart(onStarted: (id: string) => void) {
  const queries = useQueryClient();
  return api.useMutation("post", "/api/v1/backtests", {
    onSuccess: (found) => {
      void queries.invalidateQueries();
      onStarted((found as unknown as Backtest).id);
    },
  });
}

function Start({ onStarted }: { onStarted: (id: string) => void }) {
  const [wallet, setWallet] = useState<number | string>(10_000);
  const [values, setValues] = useState<Record<string, Value>>({});
  const subject = useSubject(() => setValues({}));
  const { currency, moneyIn } = useMoney();
  const start = useStart(onStarted);
  const properties = propertiesOf(subject.strategy?.parameters);
  const { at, rest } = placed(start.error, [...SUBJECT, "dry_run_wallet", ...Object.keys(properties)]);
  const send = () => start.mutate({ body: { label: subject.label, config: { ...subject.config(values), ...(currency && { currency }), dry_run_wallet: typed(wallet || 0) } } });
  return (
    <Panel title="New backtest">
      <Loaded query={subject.query} height={240}>
        {() => (
          <Form control="backtest" error={start.error} onSend={send}>
            <div className="row">
              {subject.fields(at)}
              <NumberField label={moneyIn("Wallet")} description={reading(wallet, currency)} value={wallet} onChange={setWallet} error={at.dry_run_wallet} w={130} />
            </div>
            {Object.keys(properties).length > 0 && (
              <div className="row">
                <ParameterFields properties={properties} values={values} flaws={at} onChange={(name, value) => setValues((before) => ({ ...before, [name]: value }))} />
              </div>
            )}
            {subject.strategy?.summary && <span className="quiet">{subject.strategy.summary}</span>}
            <Failure error={rest} />
            <div>
              <Button type="submit" loading={start.isPending}>
                Start
              </Button>
            </div>
          </Form>
        )}
      </Loaded>
    </Panel>
  );
}

function Row({ of, me, isOpen, onOpen, onStarted, isCompared, onCompare }: { of: Backtest; me: Me; isOpen: boolean; onOpen: () => void; onStarted: (id: string) => void; isCompared: boolean; onCompare: () => void }) {
  const queries = useQueryClient();
  const cancel = api.useMutation("delete", "/api/v1/backtests/{id}", { onSettled: () => queries.invalidateQueries() });
  const total = of.metrics?.total_return;
  return (
    <div className="backtest">
      <div className="row">
        <Checkbox aria-label={`Compare ${of.label}`} checked={isCompared} onChange={onCompare} disabled={of.state !== "done"} />
        <Button variant="subtle" size="compact-sm" onClick={onOpen} aria-expanded={isOpen}>
          {of.label || of.strategies.join(", ")}
        </Button>
        <State of={of.state} />
        <span className="quiet">
          <Time ms={of.created} /> · {of.timerange || "all there is"}
        </span>
        {typeof total === "number" && <Gain of={total} text={share(total, 2)} />}
        {isBusy(of) && <Progress value={of.progress * 100} w={160} aria-label="Progress" />}
        {isBusy(of) && mayAct(me) && (
          <Button size="compact-xs" variant="light" onClick={() => cancel.mutate({ params: { path: { id: of.id } } })}>
            Cancel
          </Button>
        )}
      </div>
      {cancel.error && <Failure error={cancel.error} />}
      {of.error && <p className="down">{of.error} {of.remedy}</p>}
      {isOpen && of.state === "done" && <Result of={of} me={me} onStarted={onStarted} />}
      {isOpen && of.state === "done" && <VerdictOf backtest={of.id} mayAsk={mayAct(me)} />}
    </div>
  );
}

function Result({ of: { id, label, metrics }, me, onStarted }: { of: Backtest; me: Me; onStarted: (id: string) => void }) {
  const result = api.useQuery("get", "/api/v1/backtests/{id}/result", { params: { path: { id } } }, { staleTime: Number.POSITIVE_INFINITY });
  const written = result.data as Written | undefined;
  const currency = written?.data?.currency ?? "";
  const start = useStart(onStarted);
  const again = mayAct(me) && (
    <div className="form above">
      <Failure error={start.error} />
      <Button loading={start.isPending} onClick={() => start.mutate({ body: { label, config: written?.config ?? {} } })}>Run it again</Button>
    </div>
  );
  return (
    <>
      <Metrics of={metrics ?? {}} currency={currency} />
      <div className="result">
        <Loaded query={result}>
          {(found) => (
            <>
              <Curve of={found as Written} />
              <Trades id={id} of={found as Written} again={again} />
            </>
          )}
        </Loaded>
      </div>
    </>
  );
}

function Curve({ of }: { of: Written }) {
  const { ts, values } = useMemo(() => {
    const found = of.equity ?? [];
    return { ts: found.map((each) => Date.parse(each[0])), values: found.map((each) => each[1]) };
  }, [of.equity]);
  const label = `Equity, ${of.data?.currency ?? ""}`;
  const curves = useMemo(() => [{ label, values, format: money }], [label, values]);
  return ts.length > 1 ? <Lines ts={ts} curves={curves} /> : <Empty>The result holds no curve.</Empty>;
}

function Comparison({ ids }: { ids: string[] }) {
  const found = api.useQuery("get", "/api/v1/backtests/compare", { params: { query: { ids } } }) as {
    data: Schemas["ComparisonOut"] | undefined;
    error: unknown;
    isPending: boolean;
  };
  return (
    <Panel title="Side by side">
      <Loaded query={found}>{(data) => <Beside of={data} />}</Loaded>
    </Panel>
  );
}

function Beside({ of }: { of: Schemas["ComparisonOut"] }) {
  const grid = useMemo(() => {
    const all = [...new Set(of.ids.flatMap((id) => of.curves[id]?.ts ?? []))].sort((a, b) => a - b);
    const curves = of.ids.map((id, at) => {
      const curve = of.curves[id];
      const known = new Map((curve?.ts ?? []).map((ts, place) => [ts, curve?.equity[place] ?? null]));
      const start = curve?.equity[0] || 1;
      let last: number | null = null;
      const values = all.map((ts) => {
        const value = known.get(ts);
        last = value === undefined || value === null ? last : value / start;
        return last;
      });
      return { label: of.labels[at] ?? id, values, format: (value: number) => share(value - 1, 2) };
    });
    return { all, curves };
  }, [of]);
  const currencies = of.ids.map((id) => of.curves[id]?.currency ?? "");
  const shared = new Set(currencies).size === 1 ? (currencies[0] ?? "") : "";
  return (
    <>
      {grid.all.length > 1 && <Lines ts={grid.all} curves={grid.curves} height={260} />}
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Figure</th>
            {of.labels.map((label, at) => (
              <th scope="col" key={of.ids[at]} className="number named">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {Object.entries(of.metrics).map(([name, values]) => (
            <tr key={name}>
              <th scope="row" title={metricHint(name)}>{metricLabel(name, shared)}</th>
              {values.map((value, at) => (
                <td key={of.ids[at]} className="number">
                  {metricText(name, value, shared ? "" : currencies[at])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
