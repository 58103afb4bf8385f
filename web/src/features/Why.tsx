/** Why there was a fill: what was seen, wished, sized, answered, sent and booked, in the order in which it happened. */
import type { ReactNode } from "react";
import type { Run } from "../app/Shell";
import { api, codeOf, type Schemas } from "../client/api";
import { brief, exact, money, pair, quoteOf, share, words } from "../ui/format";
import { Facts, Gain, Loaded, State, Time, Told } from "../ui/parts";
import { inUnits, type Known, seenOf } from "./units";

/** Which of the sizing's settings each method uses, besides `max_fraction`. */
const SIZED: Record<string, string[]> = {
  fixed_notional: ["amount"],
  fixed_quantity: ["quantity"],
  fixed_fraction: ["fraction"],
  risk_per_trade: ["risk"],
  volatility_target: ["volatility", "lookback"],
  kelly: ["kelly_cap", "lookback"],
};

/** Why an order was sent, or one of its fills came to be, in a run. */
export function Why({ run, order, ref: fill }: { run: Run; order?: string; ref?: string }) {
  const ofOrder = api.useQuery("get", "/api/v1/runs/{run}/orders/{order_id}", { params: { path: { run: run.name, order_id: order ?? "" } } }, { enabled: Boolean(order) });
  const ofFill = api.useQuery("get", "/api/v1/runs/{run}/why", { params: { path: { run: run.name }, query: { ref: fill ?? "" } } }, { enabled: Boolean(fill) });
  return <Loaded query={order ? ofOrder : ofFill}>{(why) => <Steps why={why} currency={run.currency} />}</Loaded>;
}

/** Why a fill of a backtest came to be; `again` is offered where its result keeps no record of that. */
export function WhyTested({ id, currency, ref: fill, again }: { id: string; currency: string; ref: string; again: ReactNode }) {
  const found = api.useQuery("get", "/api/v1/backtests/{id}/why", { params: { path: { id }, query: { ref: fill } } }, { staleTime: Number.POSITIVE_INFINITY });
  return (
    <>
      <Loaded query={found}>{(why) => <Steps why={why} currency={currency} />}</Loaded>
      {codeOf(found.error) === "no_record" && again}
    </>
  );
}

function Steps({ why, currency }: { why: Schemas["WhyOut"]; currency: string }) {
  return (
    <ol className="timeline">
      {why.trigger && (
        <Step name={`Seen: ${words(why.trigger.kind).toLowerCase()}`} ts={why.trigger.ts}>
          <Seen data={why.trigger.data} instrument={why.order.instrument} />
        </Step>
      )}
      {why.signal && (
        <Step name="Wished">
          <Facts of={inUnits(without(why.signal, "kind", "strategy", "instrument"), why.order.instrument)} />
        </Step>
      )}
      <Step name="Asked of risk">
        <Sized currency={currency} of={why.order} sizing={why.sizing} />
        <Facts of={inUnits(without(why.request, "kind"), why.order.instrument)} />
      </Step>
      <Step name="Risk answered">
        <State of={why.verdict.approved ? "done" : "rejected"} label={why.verdict.approved ? "approved" : why.verdict.code ? `refused: ${words(why.verdict.code).toLowerCase()}` : "not on record"} /> <Told text={why.verdict.reason ?? ""} />
        {why.standing_refusals.map((each) => <p key={each} className="quiet">In the same step: <Told text={each} /></p>)}
      </Step>
      {why.steps.map((each) => (
        <Step key={each.seq} name={words(each.kind)} ts={each.ts}>
          <Facts of={inUnits(stepped(each.data, why.request), why.order.instrument)} />
        </Step>
      ))}
      {why.ledger.length > 0 && (
        <Step name="Booked">
          <table className="plain">
            <tbody>
              {why.ledger.map((each, at) => (
                <tr key={`${each.ref}${at}`}>
                  <th scope="row">{words(each.kind)}, to the {each.account}</th>
                  <td className="number" title={exact(each.amount)}><Gain of={each.amount} text={brief(each.amount, 12)} /></td>
                  <td>{each.asset}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Step>
      )}
      {why.round_trip && (
        <Step name="Round trip">
          <Gain of={why.round_trip.pnl} /> {quoteOf(why.order.instrument)}, left by {words(why.round_trip.exit_reason).toLowerCase()}
        </Step>
      )}
    </ol>
  );
}

/** What the engine saw. Bars that closed together came together: the one that is meant, and how many others. */
function Seen({ data, instrument }: { data: Known; instrument: string }) {
  const bars = Array.isArray(data.bars) ? (data.bars as [string, string, number, ...number[]][]) : [];
  const bar = bars.find(([id]) => id === instrument);
  if (!bar) return <Facts of={seenOf(data, instrument)} />;
  const [, timeframe, opened, open, high, low, close, volume] = bar;
  return (
    <>
      <Facts of={{ bar: `${pair(instrument)} ${timeframe}`, ...inUnits({ open, high, low, close, volume }, instrument) }} />
      <span className="quiet">
        It opened <Time ms={opened / 1e6} />
        {bars.length > 1 && `; ${bars.length - 1} more closed with it`}.
      </span>
    </>
  );
}

/** How much was asked for, by which rule, and what the rule was applied to. */
function Sized({ currency, of, sizing }: { currency: string; of: Schemas["OrderOut"]; sizing: Schemas["SizingOut"] | null }) {
  const worth = Number(of.quantity) * Number(of.decision_price);
  const method = String(sizing?.rule.method ?? "");
  const settings = inUnits(sizing?.rule ?? {}, of.instrument);
  const rule = sizing && [words(method).toLowerCase(), ...[...(SIZED[method] ?? []), "max_fraction"].map((each) => `${each.replaceAll("_", " ")} ${settings[each]}`)].join(", ");
  const capital = sizing && `${money(sizing.equity)} ${currency}${sizing.allocation === null ? ", of which the run gives each strategy a share" : sizing.allocation < 1 ? `, of which ${share(sizing.allocation)} are for ${of.strategy}` : ""}`;
  return <Facts of={{ worth: worth ? `${money(worth)} ${quoteOf(of.instrument)}` : null, sized_by: rule, equity_then: capital }} />;
}

const without = (of: Known, ...names: string[]) => Object.fromEntries(Object.entries(of).filter(([name]) => !names.includes(name)));

/** What a step says that is not said above: a request that left as it was asked for is named so. */
function stepped(data: Known, request: Known): Known {
  const { request: sent, fill, ...rest } = without(data, "ts") as { request?: Known; fill?: Known } & Known;
  const asked = sent && { request: JSON.stringify(sent) === JSON.stringify(request) ? "as asked" : sent };
  return { ...rest, ...asked, ...(fill ? without(fill, "ts", "instrument", "strategy", "side", "purpose") : {}) };
}

function Step({ name, ts, children }: { name: string; ts?: number; children: ReactNode }) {
  return (
    <li>
      <b>{name}</b> {ts ? <span className="quiet"><Time ms={ts} /></span> : null}
      <div>{children}</div>
    </li>
  );
}
