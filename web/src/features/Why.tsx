/** Why there was a fill: what was seen, wished, sized, answered, sent and booked, in the order in which it happened. */
import { Button } from "@mantine/core";
import { type ReactNode, useState } from "react";
import type { Run } from "../app/Shell";
import { api, codeOf, type Schemas } from "../client/api";
import { baseOf, brief, exact, inUnit, money, pair, quoteOf, share, words } from "../ui/format";
import { Facts, Gain, Loaded, State, Time, Told } from "../ui/parts";
import { folded } from "./steps";
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
  const [followed, follow] = useState<string | null>(null);
  const ref = followed ?? fill ?? "";
  const isOfOrder = Boolean(order) && !followed;
  const ofOrder = api.useQuery("get", "/api/v1/runs/{run}/orders/{order_id}", { params: { path: { run: run.name, order_id: order ?? "" } } }, { enabled: isOfOrder });
  const ofFill = api.useQuery("get", "/api/v1/runs/{run}/why", { params: { path: { run: run.name }, query: { ref } } }, { enabled: Boolean(ref) });
  return (
    <>
      <Back is={followed !== null} go={() => follow(null)} />
      <Loaded query={isOfOrder ? ofOrder : ofFill}>{(why) => <Steps why={why} currency={run.currency} follow={follow} />}</Loaded>
    </>
  );
}

/** Why a fill of a backtest came to be; `again` is offered where its result keeps no record of that. */
export function WhyTested({ id, currency, ref: fill, again }: { id: string; currency: string; ref: string; again: ReactNode }) {
  const [followed, follow] = useState<string | null>(null);
  const found = api.useQuery("get", "/api/v1/backtests/{id}/why", { params: { path: { id }, query: { ref: followed ?? fill } } }, { staleTime: Number.POSITIVE_INFINITY });
  return (
    <>
      <Back is={followed !== null} go={() => follow(null)} />
      <Loaded query={found}>{(why) => <Steps why={why} currency={currency} follow={follow} />}</Loaded>
      {codeOf(found.error) === "no_record" && again}
    </>
  );
}

const Back = ({ is, go }: { is: boolean; go: () => void }) => is && <Button size="compact-sm" variant="light" mb="sm" onClick={go}>Back to the exit</Button>;

type WhyOut = Schemas["WhyOut"];
interface Explained {
  why: WhyOut;
  currency: string;
  follow: (ref: string) => void;
}

function Steps({ why, currency, follow }: Explained) {
  const instrument = why.order?.instrument ?? why.fill?.instrument ?? "";
  const units = (of: Known) => inUnits(of, instrument, why.tick);
  const filled = why.steps.findLast((each) => each.kind === "filled" && (!why.fill || (each.data.fill as Known | undefined)?.id === why.fill.id));
  const { instead } = why;
  return (
    <>
      <p className="lead">{why.cause}</p>
      <ol className="timeline">
        {why.entry && <Opened why={why} currency={currency} follow={follow} />}
        <Step name={why.trigger ? `Seen: ${words(why.trigger.kind).toLowerCase()}` : "Seen"} ts={why.trigger?.ts}>
          {isOfEntry(why) ? "The fill of the entry itself: this was set on it." : why.trigger ? <Seen data={why.trigger.data} instrument={instrument} tick={why.tick} /> : instead.trigger}
        </Step>
        <Step name="Wished">{why.signal ? <Facts of={units(without(why.signal, "kind", "strategy", "instrument"))} /> : instead.signal}</Step>
        <Step name="Asked of risk">
          {why.order ? <Sized why={why} of={why.order} currency={currency} /> : <p>{instead.sizing}</p>}
          {why.request ? <Facts of={units(without(why.request, "kind", "strategy", "instrument"))} /> : instead.request}
        </Step>
        <Step name="Risk answered">
          {why.verdict ? <Answered verdict={why.verdict} /> : instead.verdict}
          {why.standing_refusals.map((each) => <p key={each} className="quiet">In the same step: <Told text={each} /></p>)}
        </Step>
        {why.steps.length === 0 && <Step name="Became of it">{instead.steps}</Step>}
        {folded(why.steps).map((each) => {
          const first = "steps" in each ? each.steps[0] : each;
          return [
            each === filled && <AtFill key={`seen ${each.seq}`} why={why} instrument={instrument} />,
            <Step key={first?.seq} name={"steps" in each ? each.title : words(each.kind)} ts={first?.ts}>
              {"steps" in each ? <Changed steps={each.steps} units={units} /> : <Facts of={units(stepped(each, why.request ?? {}))} />}
            </Step>,
          ];
        })}
        {!filled && <AtFill why={why} instrument={instrument} />}
        <Step name="Booked">{why.ledger.length > 0 ? <Booked lines={why.ledger} /> : instead.ledger}</Step>
        {why.round_trip && (
          <Step name="Round trip">
            <Gain of={why.round_trip.pnl} /> {quoteOf(instrument)}, left by {words(why.round_trip.exit_reason).toLowerCase()}
          </Step>
        )}
      </ol>
    </>
  );
}

/** Whether it was decided on the fill of the entry that it closes, which is told already. */
const isOfEntry = ({ trigger, entry }: WhyOut) => Boolean(entry) && (trigger?.data.fill as Known | undefined)?.order_id === entry?.fill.order_id;

/** The entry that an exit closes: what was wished and how it was sized is told there. */
function Opened({ why: { entry, tick }, currency, follow }: Explained) {
  if (!entry) return null;
  const { fill, signal, sizing, instead } = entry;
  const { instrument } = fill;
  return (
    <Step name="Of the entry" ts={fill.ts}>
      <p>{entry.cause} <Button size="compact-xs" variant="light" onClick={() => follow(fill.ref)}>Why the entry?</Button></p>
      <Facts of={{ filled: `${words(fill.side)} ${inUnit(fill.quantity, baseOf(instrument))} at ${inUnit(fill.price, quoteOf(instrument))}` }} />
      <Facts of={signal ? inUnits(without(signal, "kind", "strategy", "instrument"), instrument, tick) : { wished: instead.signal }} />
      <Facts of={sizing ? sizedBy(sizing, instrument, fill.strategy, currency) : { sized_by: instead.sizing }} />
    </Step>
  );
}

/** What the market did when it filled. */
function AtFill({ why, instrument }: { why: WhyOut; instrument: string }) {
  return (
    <Step name={why.seen ? `Seen at the fill: ${words(why.seen.kind).toLowerCase()}` : "Seen at the fill"} ts={why.seen?.ts}>
      {why.seen ? <Seen data={why.seen.data} instrument={instrument} tick={why.tick} /> : why.instead.seen}
    </Step>
  );
}

function Answered({ verdict: { approved, code, reason } }: { verdict: Schemas["VerdictOut"] }) {
  return (
    <>
      <State of={approved ? "done" : "rejected"} label={approved ? "approved" : code ? `refused: ${words(code).toLowerCase()}` : "not on record"} /> <Told text={reason ?? ""} />
    </>
  );
}

/** Changes of a resting order, folded away: where it stood from when on. */
function Changed({ steps, units }: { steps: Schemas["StepOut"][]; units: (of: Known) => Known }) {
  return (
    <details>
      <summary>each of them</summary>
      <table className="plain">
        <tbody>
          {steps.map((each) => (
            <tr key={each.seq}>
              <th scope="row">{each.kind === "amend" ? "Asked" : "Confirmed"}</th>
              <td><Time ms={each.ts} /></td>
              <td>{Object.values(units(without(each.data, "ts", "order_id"))).filter((value) => value !== null).map(String).join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function Booked({ lines }: { lines: WhyOut["ledger"] }) {
  return (
    <table className="plain">
      <tbody>
        {lines.map((each, at) => (
          <tr key={`${each.ref}${at}`}>
            <th scope="row">{words(each.kind)}, to the {each.account}</th>
            <td className="number" title={exact(each.amount)}><Gain of={each.amount} text={brief(each.amount, 12)} /></td>
            <td>{each.asset}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What the engine saw. Bars that closed together came together: the one that is meant, and how many others. */
function Seen({ data, instrument, tick }: { data: Known; instrument: string; tick: string }) {
  const bars = Array.isArray(data.bars) ? (data.bars as [string, string, number, ...number[]][]) : [];
  const bar = bars.find(([id]) => id === instrument);
  if (!bar) return <Facts of={seenOf(data, instrument, tick)} />;
  const [, timeframe, opened, open, high, low, close, volume] = bar;
  return (
    <>
      <Facts of={{ bar: `${pair(instrument)} ${timeframe}`, ...inUnits({ open, high, low, close, volume }, instrument, tick) }} />
      <span className="quiet">
        It opened <Time ms={opened / 1e6} />
        {bars.length > 1 && `; ${bars.length - 1} more closed with it`}.
      </span>
    </>
  );
}

/** How much was asked for, by which rule, and what the rule was applied to; what set the price of an exit that waits. */
function Sized({ why, of, currency }: { why: WhyOut; of: Schemas["OrderOut"]; currency: string }) {
  const worth = Number(of.quantity) * Number(of.decision_price);
  const rule = why.sizing ? sizedBy(why.sizing, of.instrument, of.strategy, currency) : { sized_by: why.instead.sizing };
  return <Facts of={{ worth: worth ? `${money(worth)} ${quoteOf(of.instrument)}` : null, ...rule, priced_by: why.rule }} />;
}

/** By which rule a wish was sized, and what it was applied to. */
function sizedBy(sizing: Schemas["SizingOut"], instrument: string, strategy: string, currency: string): Known {
  const method = String(sizing.rule.method ?? "");
  const settings = inUnits(sizing.rule, instrument);
  const rule = [words(method).toLowerCase(), ...[...(SIZED[method] ?? []), "max_fraction"].map((each) => `${each.replaceAll("_", " ")} ${settings[each]}`)].join(", ");
  const part = sizing.allocation === null ? ", of which the run gives each strategy a share" : sizing.allocation < 1 ? `, of which ${share(sizing.allocation)} are for ${strategy}` : "";
  return { sized_by: rule, equity_then: `${money(sizing.equity)} ${currency}${part}` };
}

const without = (of: Known, ...names: string[]) => Object.fromEntries(Object.entries(of).filter(([name]) => !names.includes(name)));

/** What a step says that is not said above: a request that left as it was asked for is named so, an order by its id once. */
function stepped({ kind, data }: Schemas["StepOut"], request: Known): Known {
  const { request: sent, fill, ...rest } = without(data, "ts", ...(kind === "submit" ? [] : ["order_id"])) as { request?: Known; fill?: Known } & Known;
  const asked = sent && { request: JSON.stringify(sent) === JSON.stringify(request) ? "as asked" : sent };
  return { ...rest, ...asked, ...(fill ? without(fill, "id", "order_id", "ts", "instrument", "strategy", "side", "purpose") : {}) };
}

function Step({ name, ts, children }: { name: string; ts?: number; children: ReactNode }) {
  return (
    <li>
      <b>{name}</b> {ts ? <span className="quiet"><Time ms={ts} /></span> : null}
      <div>{children}</div>
    </li>
  );
}
