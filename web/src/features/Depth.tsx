/** The order book as the bot last saw it: the best levels on both sides, and how much lies behind each. */
import type { Run } from "../app/Shell";
import { api, type Schemas } from "../client/api";
import { BOOK_EVERY } from "../client/pace";
import { exact, signedShare, toStep } from "../ui/format";
import { ROOM } from "../ui/DataTable";
import { Empty, Loaded, State, Time } from "../ui/parts";

const SHOWN = 12;
type Level = number[];

export function Depth({ run, instrument, rules }: { run: Run; instrument: string; rules: Schemas["InstrumentOut"] | undefined }) {
  const book = api.useQuery("get", "/api/v1/runs/{run}/book", { params: { path: { run: run.name }, query: { instrument, levels: SHOWN } } }, { enabled: Boolean(instrument), refetchInterval: run.is_running ? BOOK_EVERY : false });
  return (
    <Loaded query={book} height={ROOM}>
      {(found) => {
        if (found.source === "none" || found.bids.length + found.asks.length === 0)
          return (
            <Empty>
              <p>This bot reads no order book{found.reason ? `: ${found.reason}` : "."}</p>
              <p>A replay of bars has none. On live data it is read where a strategy or a limit asks for it.</p>
            </Empty>
          );
        const [bid, ask] = [found.bids[0]?.[0], found.asks[0]?.[0]];
        const most = Math.max(total(found.bids), total(found.asks), Number.MIN_VALUE);
        return (
          <>
            <p className="quiet">
              {found.source === "quote" ? "The best bid and ask alone, as the bot reads no whole book. " : found.is_certified === false ? <State of="stale" label="not certified" /> : null} <Time ms={found.ts} />
              {bid && ask ? `, spread ${signedShare((ask - bid) / ((ask + bid) / 2), 3).replace("+", "")}` : ""}
            </p>
            <div className="two-narrow">
              <Side name="Bid" levels={found.bids} most={most} rules={rules} />
              <Side name="Ask" levels={found.asks} most={most} rules={rules} />
            </div>
          </>
        );
      }}
    </Loaded>
  );
}

function total(levels: Level[]): number {
  return levels.reduce((sum, each) => sum + (each[1] ?? 0), 0);
}

function Side({ name, levels, most, rules }: { name: "Bid" | "Ask"; levels: Level[]; most: number; rules: Schemas["InstrumentOut"] | undefined }) {
  const base = rules?.base ?? "";
  let sum = 0;
  return (
    <table className="plain depth">
      <thead>
        <tr>
          <th scope="col" className="number">{`${name}, ${rules?.quote ?? ""}`}</th>
          <th scope="col" className="number">{`Size, ${base}`}</th>
          <th scope="col" className="number">Together</th>
        </tr>
      </thead>
      <tbody>
        {levels.map(([price = 0, size = 0]) => {
          sum += size;
          return (
            <tr key={price}>
              <td className={`number ${name === "Bid" ? "bought" : "sold"}`}>{toStep(price, rules?.tick)}</td>
              <td className="number">{toStep(size, rules?.lot)}</td>
              <td className="number">
                <progress className={name === "Bid" ? "bid" : "ask"} max={most} value={sum} aria-label={`${exact(Math.round(sum * 1e6) / 1e6)} ${base} down to here`} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
