/** Candles of an instrument with what the run did on them, and how far its data is trusted. */
import { Select } from "@mantine/core";
import { useMemo, useState } from "react";
import type { Run } from "../app/Shell";
import { api } from "../client/api";
import { usePrices } from "../client/stream";
import { CandleChart } from "../ui/charts";
import { exact, pair, words } from "../ui/format";
import { Empty, Loaded, Panel, Stat, State, Time } from "../ui/parts";

export default function Markets({ run }: { run: Run }) {
  const path = { run: run.name };
  const prices = usePrices();
  const [chosen, choose] = useState<string | null>(null);
  const instruments = api.useQuery("get", "/api/v1/runs/{run}/instruments", { params: { path } });
  const strategies = api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path } });
  const instrument = chosen ?? run.instruments[0] ?? "";
  const timeframes = [...new Set((strategies.data ?? []).filter((each) => each.instruments.includes(instrument)).map((each) => each.timeframe))];
  const [timeframe, setTimeframe] = useState<string | null>(null);
  const shown = timeframe && timeframes.includes(timeframe) ? timeframe : (timeframes[0] ?? "");
  const bars = api.useQuery(
    "get",
    "/api/v1/runs/{run}/bars",
    { params: { path, query: { instrument, timeframe: shown, limit: 1000 } } },
    { enabled: Boolean(instrument && shown) },
  );
  const fills = api.useQuery("get", "/api/v1/runs/{run}/fills", { params: { path, query: { instrument, limit: 200 } } });
  const positions = api.useQuery("get", "/api/v1/runs/{run}/positions", { params: { path } });
  const risk = api.useQuery("get", "/api/v1/runs/{run}/risk", { params: { path } });
  const rules = instruments.data?.find((each) => each.id === instrument);
  const feeds = risk.data?.feeds.filter((each) => each.instrument === instrument) ?? [];
  const marks = useMemo(
    () => (fills.data?.items ?? []).map((each) => ({ ts: each.ts, isBuy: each.side === "buy", text: words(each.purpose) })),
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
  return (
    <>
      <h1>Markets</h1>
      <div className="row">
        <Select label="Instrument" data={run.instruments} value={instrument} onChange={choose} allowDeselect={false} searchable />
        <Select label="Timeframe" data={timeframes} value={shown || null} onChange={setTimeframe} allowDeselect={false} w={110} />
        {feeds.map((each) => (
          <State key={each.kind} of={each.state} label={`${each.kind}: ${each.state}${each.served_by ? `, served by ${each.served_by}` : ""}`} />
        ))}
      </div>
      <Panel title={pair(instrument)} aside={<span className="quiet">arrows: fills; dashed lines: stops and targets; charts by <a href="https://www.tradingview.com/" rel="noreferrer" target="_blank">TradingView</a></span>}>
        <Loaded query={bars}>
          {(data) => (data.ts.length === 0 ? <Empty>No bar has closed yet.</Empty> : <CandleChart bars={data} marks={marks} levels={levels} />)}
        </Loaded>
      </Panel>
      {rules && (
        <div className="stats">
          <Stat label="Last price" note={<Time ms={rules.price_ts} />}>
            {exact(prices?.prices[instrument] ?? rules.price)}
          </Stat>
          <Stat label="Tick">{exact(rules.tick)}</Stat>
          <Stat label="Lot">{exact(rules.lot)}</Stat>
          <Stat label={`Least order, ${rules.quote}`}>{exact(rules.min_notional)}</Stat>
        </div>
      )}
    </>
  );
}
