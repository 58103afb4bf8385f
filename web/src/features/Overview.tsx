/** How the run stands: money, risk, health, positions and what happened last. */
import { Drawer } from "@mantine/core";
import { useMemo, useState } from "react";
import type { Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { useValued, useValuedRisk } from "../client/valued";
import { Lines } from "../ui/charts";
import { DataTable, ROOM } from "../ui/DataTable";
import { many, money, share, signedShare } from "../ui/format";
import { Empty, Gain, Loaded, Meter, Panel, Stat, State, Time, Told } from "../ui/parts";
import { CircuitState, troubled } from "./Circuits";
import { fillColumns, positionColumns, usageLabel, usageText } from "./columns";
import { Older, SHORT, usePages } from "./pages";
import { passing, stateOf } from "./standing";
import { Why } from "./Why";

/** Fills that are shown here; the stream adds to those that were asked for. */
const LAST = 12;
const noticeKey = (row: Schemas["NoticeOut"]) => `${row.ts} ${row.code} ${row.strategy} ${row.text}`;

export default function Overview({ run }: { run: Run }) {
  const path = { params: { path: { run: run.name } } };
  const [why, ask] = useState<string | null>(null);
  const equity = api.useQuery("get", "/api/v1/runs/{run}/equity", { params: { path: { run: run.name }, query: { points: 800 } } });
  const risk = useValuedRisk(api.useQuery("get", "/api/v1/runs/{run}/risk", path));
  const positions = useValued("positions", api.useQuery("get", "/api/v1/runs/{run}/positions", path));
  const fills = api.useQuery("get", "/api/v1/runs/{run}/fills", { params: { path: { run: run.name }, query: { limit: LAST } } });
  const notices = usePages<Schemas["NoticeOut"]>(`/api/v1/runs/${run.name}/notices`, run.run_id, noticeKey, { size: SHORT });
  return (
    <>
      <h1>Overview</h1>
      <div className="stats">
        <Stat label={`Equity, ${run.currency}`} note={<>since the start <Gain of={run.profit} text={signedShare(run.profit / run.start_equity)} /></>}>
          {money(run.equity)}
        </Stat>
        <Stat label={`Profit today, ${run.currency}`}>
          <Gain of={run.profit_today} />
        </Stat>
        <Stat label={`This week, ${run.currency}`}>
          <Gain of={run.profit_week} />
        </Stat>
        <Stat label={`This month, ${run.currency}`}>
          <Gain of={run.profit_month} />
        </Stat>
        <Stat label="Drawdown now">{share(run.drawdown)}</Stat>
        <Stat label="In the market" note={`${many(run.open_positions, "position")}, ${many(run.open_orders, "order")}`}>
          {share(run.exposure)}
        </Stat>
      </div>
      <Panel title="Equity and drawdown">
        <Loaded query={equity} height={390}>{(data) => <EquityChart key={run.run_id} {...data} currency={run.currency} />}</Loaded>
      </Panel>
      <Panel title="Open positions">
        <Loaded query={positions} height={ROOM}>
          {(rows) => (
            <DataTable label="Open positions" rows={rows} columns={positionColumns(run)} keyOf={(row) => row.strategy + row.instrument} reserved={4} empty="Nothing is held. Positions appear here as soon as an entry fills." />
          )}
        </Loaded>
      </Panel>
      <div className="two first-wider">
        <div className="stack">
          <Panel title="Risk" aside={<State of={stateOf(run)} />}>
            <Loaded query={risk} height={330}>
              {(data) => (
                <>
                  <p><Told text={passing(run, data)} /></p>
                  {data.usage.map((each) => (
                    <Meter
                      key={each.name}
                      label={usageLabel(each)}
                      used={each.used}
                      limit={each.limit}
                      text={usageText(each)}
                    />
                  ))}
                </>
              )}
            </Loaded>
          </Panel>
          <Panel title="Last fills">
            <Loaded query={fills} height={460}>
              {(page) => <DataTable label="Last fills" rows={page.items.slice(0, LAST)} columns={fillColumns(run)} keyOf={(row) => row.ref} onRow={(row) => ask(row.ref)} reserved={4} height={460} empty="No order has filled yet." />}
            </Loaded>
          </Panel>
        </div>
        <div className="stack">
          <Panel title="Feeds and venues">
            <Loaded query={risk} height={ROOM}>
              {(data) =>
                data.feeds.length + data.venues.length + troubled(data).length === 0 ? (
                  <Empty>A replay of stored bars has no streams to watch.</Empty>
                ) : (
                  <ul className="timeline">
                    {data.venues.map((each) => (
                      <li key={each.venue}>
                        {each.venue} account <State of={each.is_trusted ? "certified" : "halted"} label={each.is_trusted ? "compared" : "only exits"} /> {each.reasons.join(" ")}
                      </li>
                    ))}
                    {troubled(data).map((each) => (
                      <li key={each.venue + each.part}>
                        {each.venue || "every venue"} {each.part}, circuit <CircuitState of={each} /> <Told text={each.reason} />
                      </li>
                    ))}
                    {data.feeds.map((each) => (
                      <li key={each.instrument + each.kind}>
                        {each.instrument} {each.kind} <State of={each.state} /> <span className="quiet">{each.reason}</span>
                      </li>
                    ))}
                  </ul>
                )
              }
            </Loaded>
          </Panel>
          <Panel title="Notices">
            <Loaded query={notices}>
              {(rows) =>
                rows.length === 0 ? (
                  <Empty>Nothing that a person should know.</Empty>
                ) : (
                  <div className="notices" tabIndex={0} role="region" aria-label="Notices">
                    <ul className="timeline">
                      {rows.map((each) => (
                        <li key={noticeKey(each)}>
                          <Time ms={each.ts} /> <State of={each.level} /> <Told text={each.text} />
                        </li>
                      ))}
                    </ul>
                    <Older of={notices} />
                  </div>
                )
              }
            </Loaded>
          </Panel>
        </div>
      </div>
      <Drawer lockScroll={false} opened={why !== null} onClose={() => ask(null)} title="Why?" position="right" size="lg">
        {why && <Why run={run} ref={why} />}
      </Drawer>
    </>
  );
}

/** A drawdown is drawn down to one percent at least, or nothing would look like much. */
const SMALL_FALL = [-0.01, 0] as const;

function EquityChart({ ts, equity, drawdown, currency }: { ts: number[]; equity: number[]; drawdown: number[]; currency: string }) {
  const curves = useMemo(() => [{ label: `Equity, ${currency}`, values: equity, format: money }], [equity, currency]);
  const falls = useMemo(() => [{ label: "Drawdown", values: drawdown.map((each) => -Math.abs(each)), colour: "#e03131", format: (v: number) => share(v) }], [drawdown]);
  if (ts.length < 2) return <div className="table-empty curve-empty"><Empty>The curve begins with the second closed bar.</Empty></div>;
  return (
    <>
      <Lines ts={ts} curves={curves} height={220} />
      <Lines ts={ts} curves={falls} height={110} least={SMALL_FALL} />
    </>
  );
}
