/** Why there was a fill: what was seen, wished, answered, sent and booked, in the order in which it happened. */
import type { ReactNode } from "react";
import type { Run } from "../app/Shell";
import { api } from "../client/api";
import { exact, words } from "../ui/format";
import { Gain, Loaded, State, Time } from "../ui/parts";

export function Why({ run, order, ref: fill }: { run: Run; order?: string; ref?: string }) {
  const ofOrder = api.useQuery("get", "/api/v1/runs/{run}/orders/{order_id}", { params: { path: { run: run.name, order_id: order ?? "" } } }, { enabled: Boolean(order) });
  const ofFill = api.useQuery("get", "/api/v1/runs/{run}/why", { params: { path: { run: run.name }, query: { ref: fill ?? "" } } }, { enabled: Boolean(fill) });
  return (
    <Loaded query={order ? ofOrder : ofFill}>
      {(why) => (
        <ol className="timeline">
          {why.trigger && (
            <Step name={`Seen: ${words(why.trigger.kind)}`} ts={why.trigger.ts}>
              <Facts of={why.trigger.data} />
            </Step>
          )}
          {why.signal && (
            <Step name="Wished">
              <Facts of={why.signal} />
            </Step>
          )}
          <Step name="Asked of risk">
            <Facts of={why.request} />
          </Step>
          <Step name="Risk answered">
            <State of={why.verdict.approved ? "done" : "rejected"} label={why.verdict.approved ? "approved" : `refused: ${why.verdict.code}`} /> {why.verdict.reason}
          </Step>
          {why.steps.map((each) => (
            <Step key={each.seq} name={words(each.kind)} ts={each.ts}>
              <Facts of={each.data} />
            </Step>
          ))}
          {why.ledger.length > 0 && (
            <Step name="Booked">
              <dl className="facts">
                {why.ledger.map((each, at) => (
                  <Line key={`${each.ref}${at}`} name={`${each.kind}, ${each.asset}`}>
                    <Gain of={each.amount} text={exact(each.amount)} />
                  </Line>
                ))}
              </dl>
            </Step>
          )}
          {why.round_trip && (
            <Step name="Round trip">
              <Gain of={why.round_trip.pnl} /> {run.currency}, left by {words(why.round_trip.exit_reason).toLowerCase()}
            </Step>
          )}
        </ol>
      )}
    </Loaded>
  );
}

function Step({ name, ts, children }: { name: string; ts?: number; children: ReactNode }) {
  return (
    <li>
      <b>{name}</b> {ts ? <span className="quiet"><Time ms={ts} /></span> : null}
      <div>{children}</div>
    </li>
  );
}

function Line({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Facts({ of }: { of: Record<string, unknown> }) {
  const rows = Object.entries(of).filter(([, value]) => value !== null && value !== "" && value !== undefined);
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <Line key={name} name={words(name)}>
          {typeof value === "object" ? <code>{JSON.stringify(value)}</code> : String(value)}
        </Line>
      ))}
    </dl>
  );
}
