/** The figures of a backtest: by which names, in which units, and what each of them says. */
import { grouped, money, share, whole, words } from "../ui/format";
import { Stat } from "../ui/parts";

type Values = Record<string, number | null | undefined>;
type Write = (value: number) => string;
interface Metric {
  label: string;
  /** In what it is counted: `money` in the currency of the run. */
  unit: "money" | "share" | "ratio" | "count" | "days" | "hours" | "× a year";
  hint?: string;
}

const WRITTEN: Record<Metric["unit"], Write> = {
  money,
  share: (value) => share(value, 2),
  ratio: (value) => grouped(value, 2),
  count: whole,
  days: (value) => grouped(value, 1),
  hours: (value) => grouped(value, 1),
  "× a year": (value) => grouped(value, 2),
};

const METRICS: Record<string, Metric> = {
  start_equity: { label: "Start equity", unit: "money" },
  final_equity: { label: "Final equity", unit: "money" },
  total_return: { label: "Total return", unit: "share" },
  max_drawdown: { label: "Max drawdown", unit: "share", hint: "deepest fall below an earlier peak" },
  trades: { label: "Round trips", unit: "count", hint: "closed, from entry to exit" },
  win_rate: { label: "Win rate", unit: "share", hint: "round trips with a profit" },
  profit_factor: { label: "Profit factor", unit: "ratio", hint: "sum of wins over sum of losses" },
  sharpe: { label: "Sharpe", unit: "ratio", hint: "a year, risk-free rate zero" },
  fees: { label: "Fees", unit: "money" },
  profit: { label: "Profit", unit: "money" },
  days: { label: "Length", unit: "days" },
  cagr: { label: "Annual growth (CAGR)", unit: "share", hint: "compound, 365-day year" },
  max_drawdown_days: { label: "Max drawdown length", unit: "days", hint: "peak to recovery, or to the end" },
  longest_drawdown_days: { label: "Longest drawdown", unit: "days" },
  volatility: { label: "Volatility", unit: "share", hint: "standard deviation a year" },
  sortino: { label: "Sortino", unit: "ratio", hint: "counts only losses as risk" },
  calmar: { label: "Calmar", unit: "ratio", hint: "annual growth over max drawdown" },
  omega: { label: "Omega", unit: "ratio", hint: "sum of gains over sum of losses" },
  cvar_95: { label: "CVaR 95 %", unit: "share", hint: "mean of the worst 5 % of returns" },
  returns_per_year: { label: "Returns a year", unit: "count", hint: "periods in the ratios of a year" },
  time_in_market: { label: "Time in market", unit: "share" },
  mean_exposure: { label: "Mean exposure", unit: "share", hint: "gross, of the equity" },
  turnover: { label: "Turnover", unit: "× a year", hint: "value traded over mean equity" },
  open_trades: { label: "Still open", unit: "count" },
  expectancy: { label: "Expectancy", unit: "money", hint: "mean profit of a round trip" },
  expectancy_share: { label: "Expectancy of the entry value", unit: "share" },
  average_win: { label: "Average win", unit: "money" },
  average_loss: { label: "Average loss", unit: "money" },
  best_trade: { label: "Best trade", unit: "money" },
  worst_trade: { label: "Worst trade", unit: "money" },
  average_holding_hours: { label: "Average holding", unit: "hours" },
  slippage: { label: "Slippage", unit: "money" },
  funding: { label: "Funding paid", unit: "money" },
};
/** Of these the first are what one asks for first. */
const NAMES = Object.keys(METRICS);
const FIRST = NAMES.slice(0, 9);

/** Return what a metric is called and how its value is written; one that only a newer server knows is a plain number. */
function known(name: string): Metric {
  return METRICS[name] ?? { label: words(name), unit: name.endsWith("_return") ? "share" : "ratio" };
}

/** Return a metric's name with its unit; shares bear theirs themselves. */
export function metricLabel(name: string, currency: string): string {
  const { label, unit } = known(name);
  const shown = unit === "money" ? currency : unit;
  return ["share", "ratio", "count"].includes(unit) || !shown ? label : `${label}, ${shown}`;
}

/** Return a metric's value; money in `currency`, where its name does not bear that. */
export function metricText(name: string, value: number | null | undefined, currency = ""): string {
  if (value === null || value === undefined) return "–";
  const { unit } = known(name);
  return `${WRITTEN[unit](value)} ${unit === "money" ? currency : ""}`.trim();
}

export const metricHint = (name: string) => known(name).hint;

/** What one asks for first, and all else below it on demand. */
export function Metrics({ of, currency }: { of: Values; currency: string }) {
  const rest = Object.keys(of).filter((name) => !FIRST.includes(name));
  return (
    <>
      <div className="stats">
        {FIRST.map((name) => (
          <Stat key={name} label={metricLabel(name, currency)} note={metricHint(name)}>
            {metricText(name, of[name])}
          </Stat>
        ))}
      </div>
      <details>
        <summary>All figures</summary>
        <table className="plain">
          <tbody>
            {rest.map((name) => (
              <tr key={name}>
                <th scope="row">{metricLabel(name, currency)}</th>
                <td className="number">{metricText(name, of[name])}</td>
                <td className="quiet">{metricHint(name)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </>
  );
}
