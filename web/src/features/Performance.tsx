/** How a strategy does by what it closed: the figures of reports over its round trips, and its profit over time. */
import { useMemo } from "react";
import type { Run } from "../app/Shell";
import { api } from "../client/api";
import { Lines } from "../ui/charts";
import { money } from "../ui/format";
import { Loaded, Stat } from "../ui/parts";
import { metricHint, metricLabel, metricText } from "./Metrics";

/** What is told, and what is meant by it where a report means something else. */
const SHOWN: Record<string, string | undefined> = {
  profit_factor: undefined,
  expectancy: undefined,
  average_win: undefined,
  average_loss: undefined,
  max_drawdown: "of closed profit and its first capital",
  fees: "entry and exit",
  average_holding_hours: "entry to exit",
  time_in_market: "something was held",
};
/** Pixels that it takes while it is waited for. */
const ROOM = 380;

export function Performance({ run, name }: { run: Run; name: string }) {
  const found = api.useQuery("get", "/api/v1/runs/{run}/strategies/{name}/performance", { params: { path: { run: run.name, name } } });
  const curve = useMemo(() => {
    const { ts = [], profit = [] } = found.data ?? {};
    return { ts, curves: [{ label: `Closed profit, ${run.currency}`, values: profit, format: money }] };
  }, [found.data, run.currency]);
  return (
    <Loaded query={found} height={ROOM}>
      {({ figures }) => (
        <>
          <h2 className="above">Closed round trips</h2>
          <div className="stats four">
            {Object.entries(SHOWN).map(([each, hint]) => (
              <Stat key={each} label={metricLabel(each, run.currency)} note={hint ?? metricHint(each)}>
                {metricText(each, figures[each])}
              </Stat>
            ))}
          </div>
          {curve.ts.length > 1 ? <Lines {...curve} height={160} /> : <p className="quiet">A curve of its closed profit begins with its first round trip.</p>}
        </>
      )}
    </Loaded>
  );
}
