/** Candles of an instrument with what the run did on them, and how far its data is trusted. */
import { Button, Drawer, Select, TagsInput } from "@mantine/core";
import { useLocalStorage } from "@mantine/hooks";
import { keepPreviousData } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link as Go } from "wouter";
import type { Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { useLastPrice } from "../client/valued";
import { CandleChart, type Path } from "../ui/charts";
import { exact, pair, toStep, whole, wholeness, words } from "../ui/format";
import { Empty, Failure, Loaded, Panel, Stat, State, Time } from "../ui/parts";
import { markOf } from "./columns";
import { Depth } from "./Depth";
import { useForming } from "./forming";
import { usePages } from "./pages";
import { Why } from "./Why";

const NAMED = /^(sma|ema|bollinger|donchian) ([2-9]|[1-9][0-9]{1,2})$/;
/** Keeps the room of a line that comes and goes. */
const NO_LINE = "\u00a0";
const SUGGESTED = ["ema 20", "ema 50", "ema 200", "sma 50", "sma 200", "bollinger 20", "donchian 20", "donchian 240"];

export default function Markets({ run }: { run: Run }) {
  const path = { run: run.name };
  const [chosen, choose] = useState<string | null>(null);
  const [overlays, setOverlays] = useLocalStorage<string[]>({ key: "abidance.indicators", defaultValue: [] });
  const instruments = api.useQuery("get", "/api/v1/runs/{run}/instruments", { params: { path } });
  const strategies = api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path } });
  const instrument = (chosen && run.instruments.includes(chosen) ? chosen : run.instruments[0]) ?? "";
  const timeframes = [...new Set((strategies.data ?? []).filter((each) => each.instruments.includes(instrument)).map((each) => each.timeframe))];
  const [timeframe, setTimeframe] = useState<string | null>(null);
  const [why, ask] = useState<string | null>(null);
  const shown = timeframe && timeframes.includes(timeframe) ? timeframe : (timeframes[0] ?? "");
  const bars = api.useQuery(
    "get",
    "/api/v1/runs/{run}/bars",
    { params: { path, query: { instrument, timeframe: shown, limit: 1000 } } },
    { enabled: Boolean(instrument && shown) },
  );
  const fills = usePages<Schemas["FillOut"]>(`/api/v1/runs/${run.name}/fills`, run.run_id, (row) => row.ref, { query: { instrument } });
  const positions = api.useQuery("get", "/api/v1/runs/{run}/positions", { params: { path } });
  const risk = api.useQuery("get", "/api/v1/runs/{run}/risk", { params: { path } });
  const names = overlays.map((each) => each.toLowerCase().trim()).filter((each) => NAMED.test(each));
  const lines = api.useQuery(
    "get",
    "/api/v1/runs/{run}/indicators",
    { params: { path, query: { instrument, timeframe: shown, limit: 1000, names: names.join(",") } } },
    { enabled: Boolean(instrument && shown && names.length > 0), placeholderData: keepPreviousData },
  );
  const guards = usePages<Guard>(`/api/v1/runs/${run.name}/orders/levels`, run.run_id, (row) => row.order_id, { query: { instrument }, mayChange: (row) => row.until === null });
  const stored = api.useQuery("get", "/api/v1/data", {}, { staleTime: 60_000 });
  const holding = stored.data?.find((each) => each.instrument === instrument && each.timeframe === shown);
  const rules = useLastPrice(instruments.data?.find((each) => each.id === instrument));
  const forming = useForming(`${instrument} ${shown}`, bars.data?.ts.at(-1), shown, rules?.price, rules?.price_ts);
  const feeds = risk.data?.feeds.filter((each) => each.instrument === instrument) ?? [];
  const marks = useMemo(
    () => (fills.data ?? []).map(markOf),
    [fills.data],
  );
  const levels = useMemo(
    () =>
      (positions.data ?? [])
        .filter((each) => each.instrument === instrument)
        .flatMap((each) => [
          ...(each.stop ? [{ price: Number(each.stop), title: `Stop ${each.strategy}`, isStop: true }] : []),
          ...(each.take_profit ? [{ price: Number(each.take_profit), title: `Target ${each.strategy}`, isStop: false }] : []),
        ]),
    [positions.data, instrument],
  );
  const paths = useMemo(() => pathsOf(guards.data ?? [], bars.data?.ts ?? []), [guards.data, bars.data]);
  return (
    <>
      <h1>Markets</h1>
      <div className="row">
        <Select label="Instrument" data={run.instruments} value={instrument} onChange={choose} allowDeselect={false} searchable />
        <Select label="Timeframe" data={timeframes} value={shown || null} onChange={setTimeframe} allowDeselect={false} w={110} />
        <TagsInput label="Indicators" placeholder={overlays.length ? "" : "ema 20"} data={SUGGESTED} value={overlays} onChange={setOverlays} error={overlays.length > names.length ? "sma, ema, bollinger or donchian, and a period" : undefined} maxTags={8} maw={420} miw={220} clearable />
      </div>
      <Panel title={pair(instrument)} aside={<span className="quiet">arrows: fills, <span className="side-of bought">bought</span> and <span className="side-of sold">sold</span>, each says why; dotted lines: where stops and targets stood; below: volume; charts by <a href="https://www.tradingview.com/" rel="noreferrer" target="_blank">TradingView</a></span>}>
        <Loaded query={bars} height={460}>
          {(data) => (data.ts.length === 0 ? <Empty>No bar has closed yet.</Empty> : <CandleChart bars={data} forming={forming} marks={marks} levels={levels} paths={paths} tick={rules ? Number(rules.tick) : undefined} overlay={names.length ? (lines.data ?? NO_LINES) : undefined} onMark={ask} />)}
        </Loaded>
        <p className="quiet">{forming ? <>The last candle has not closed: it shows the prices that came since <Time ms={forming.since} />.</> : NO_LINE}</p>
        {lines.error && <Failure error={lines.error} />}
        <Rest what="arrows" of={fills} tsOf={(row) => row.ts} first={bars.data?.ts[0]} />
        <Rest what="stops and targets" of={guards} tsOf={(row) => row.ts[0]} first={bars.data?.ts[0]} />
      </Panel>
      <div className="stats">
        <Stat label={`Last price, ${rules?.quote ?? ""}`} note={<Time ms={rules?.price_ts} />}>
          {toStep(rules?.price, rules?.tick)}
        </Stat>
        <Stat label={`Step of prices, ${rules?.quote ?? ""}`}>{exact(rules?.tick)}</Stat>
        <Stat label={`Step of amounts, ${rules?.base ?? ""}`}>{exact(rules?.lot)}</Stat>
        <Stat label={`Least order, ${rules?.quote ?? ""}`}>{exact(rules?.min_notional)}</Stat>
      </div>
      <div className="two">
        <Panel title="Order book">
          <Depth run={run} instrument={instrument} rules={rules} />
        </Panel>
        <Panel title="Data certificate">
          {feeds.length > 0 && (
            <ul className="timeline">
              {feeds.map((each) => (
                <li key={each.kind}>
                  {words(each.kind)} <State of={each.state} /> since <Time ms={each.ts} />
                  {each.served_by && `, served by ${each.served_by}`} <span className="quiet">{each.reason}</span>
                </li>
              ))}
            </ul>
          )}
          {holding && (
            <dl className="facts">
              <dt>Stored bars</dt>
              <dd>{whole(holding.rows)}, {wholeness(holding.quality)} whole, {whole(holding.missing)} missing</dd>
              <dt>From, to</dt>
              <dd><Time ms={holding.first} /> – <Time ms={holding.last} /></dd>
              <dt>Source</dt>
              <dd>{holding.problem || holding.source}</dd>
            </dl>
          )}
          {feeds.length === 0 && !holding && <Empty>No stream is read and nothing is stored of this instrument and timeframe.</Empty>}
        </Panel>
      </div>
      <Drawer lockScroll={false} opened={why !== null} onClose={() => ask(null)} title="Why?" position="right" size="lg">
        {why && <Why run={run} ref={why} />}
      </Drawer>
    </>
  );
}

/** Where marks on the bars end before the bars do, and what leads to older ones. */
function Rest<T>({ what, of, tsOf, first = 0 }: { what: string; of: ReturnType<typeof usePages<T>>; tsOf: (row: T) => number | undefined; first?: number }) {
  const last = of.data?.at(-1);
  const ts = last && tsOf(last);
  if (of.data === undefined || of.isComplete || (ts !== undefined && ts < first)) return null;
  return (
    <div className="row older">
      <span className="quiet">
        {words(what)} are drawn {ts === undefined ? "for none of the newest orders" : <>from <Time ms={ts} isBrief /> on</>}; all stand under <Go href="/orders">Orders</Go>.
      </span>
      <Button size="compact-sm" variant="light" loading={of.isBusy} onClick={of.more}>
        Older {what}
      </Button>
    </div>
  );
}

const NO_LINES = { ts: [], lines: [] };
type Guard = Schemas["LevelOut"];

/** Return where stops and targets stood at each bar, a path for each strategy and kind. */
function pathsOf(guards: Guard[], ts: number[]): Path[] {
  const [first, step] = [ts[0], (ts[1] ?? 0) - (ts[0] ?? 0)];
  if (first === undefined || step <= 0) return [];
  const barOf = (moment: number) => ts.findLastIndex((open) => open <= moment);
  const paths = new Map<string, Path>();
  for (const guard of [...guards].reverse()) {
    const isStop = guard.purpose !== "take_profit";
    const key = `${guard.strategy} ${isStop}`;
    const path = paths.get(key) ?? { isStop, prices: new Array<number | null>(ts.length).fill(null) };
    paths.set(key, path);
    const end = guard.until === null || guard.until === undefined ? ts.length - 1 : barOf(guard.until);
    guard.ts.forEach((moment, at) => {
      const next = guard.ts[at + 1];
      for (let bar = Math.max(0, barOf(moment)); bar <= Math.min(end, next === undefined ? end : barOf(next) - 1); bar++) path.prices[bar] = Number(guard.prices[at]);
    });
  }
  return [...paths.values()].filter((each) => each.prices.some((price) => price !== null));
}
