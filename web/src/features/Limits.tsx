/** Limits and breakers as forms: tightening holds at once, loosening asks once more, and both ask for a fresh password. */
import { Button, Switch } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, codeOf, placed, type Schemas } from "../client/api";
import { Dialog } from "../ui/Dialog";
import { quoteOf, reading, sharedUnit, typed, words } from "../ui/format";
import { BELOW, NumberField } from "../ui/NumberField";
import { Facts, Failure, Form, Loaded, Told, written } from "../ui/parts";
import { Confirm } from "./Confirm";
import { mayRule } from "./may";

type Wish = Record<string, unknown>;
type Answer = Schemas["AnswerOut"];

const SHARES = new Set(["max_exposure", "max_asset_exposure", "max_venue_exposure", "max_borrowed", "price_collar", "max_slippage", "daily_loss", "max_drawdown", "data_anomaly"]);
const UNITS: Record<string, string> = { duplicate_window: "s", stale_after: "bars", max_leverage: "×", exit_margin: "×", cooldown: "h", cooldown_bars: "bars", volatility_spike: "× the usual range", losing_streak: "losses in a row", unprotected: "s" };
const PERCENT = 0.01;
/** The one that is an amount of money. */
const AMOUNT = "max_order_value";

export function Limits({ run, me, values }: { run: Run; me: Me; values: Record<string, unknown> }) {
  const change = api.useMutation("patch", "/api/v1/runs/{run}/risk/limits");
  const send = (body: Wish, onSuccess: (answer: Answer) => void) => change.mutate({ params: { path: { run: run.name } }, body: body as Schemas["LimitsIn"] }, { onSuccess });
  return <Rules run={run} me={me} name="Limits" section="risk.limits" shape="LimitsConfig" values={values} error={change.error} isBusy={change.isPending} onSend={send} onReset={change.reset} />;
}

export function Breakers({ run, me, values }: { run: Run; me: Me; values: Record<string, unknown> }) {
  const change = api.useMutation("patch", "/api/v1/runs/{run}/risk/breakers");
  const send = (body: Wish, onSuccess: (answer: Answer) => void) => change.mutate({ params: { path: { run: run.name } }, body: body as Schemas["BreakersIn"] }, { onSuccess });
  return <Rules run={run} me={me} name="Breakers" section="risk.breakers" shape="BreakersConfig" values={values} error={change.error} isBusy={change.isPending} onSend={send} onReset={change.reset} />;
}

function Rules({
  run,
  me,
  name,
  section,
  shape,
  values,
  error,
  isBusy,
  onSend,
  onReset,
}: {
  run: Run;
  me: Me;
  name: string;
  section: string;
  /** What the configuration's schema calls them. */
  shape: string;
  values: Record<string, unknown>;
  error: unknown;
  isBusy: boolean;
  onSend: (body: Wish, onSuccess: (answer: Answer) => void) => void;
  onReset: () => void;
}) {
  const [wish, setWish] = useState<Wish>({});
  const schema = api.useQuery("get", "/api/v1/config/schema", {}, { staleTime: Number.POSITIVE_INFINITY });
  const mayAct = mayRule(me, run);
  const send = (loosen: boolean) =>
    onSend({ ...Object.fromEntries(Object.entries(wish).map(([each, value]) => [each, meant(each, value)])), loosen }, (answer) => {
      setWish({});
      notifications.show({ message: answer.notices[0]?.text ?? "Done, and on record." });
    });
  const code = codeOf(error);
  const { at, rest } = placed(error, Object.keys(values));
  const hasChanged = Object.keys(wish).length > 0;
  return (
    <Form label={name} control={`${name} ${run.name}`} error={error} onSend={() => send(false)}>
      <Loaded query={schema} height={420}>
        {(found) => {
          const told = texts(found, shape);
          return (
            <div className="fields">
              {Object.entries(values).map(([each, now]) => (
                <Field key={each} name={each} now={now} wish={wish[each]} unit={unitOf(run, each)} hint={told[each]?.text} mayBeOff={told[each]?.mayBeOff} flaw={at[each]} isOff={!mayAct} onChange={(value) => setWish((before) => ({ ...before, [each]: value }))} />
              ))}
            </div>
          );
        }}
      </Loaded>
      {!["confirm", "loosens"].includes(code) && <Failure error={rest} />}
      {mayAct ? (
        <div className="row">
          <Button type="submit" disabled={!hasChanged} loading={isBusy}>
            Apply to the running bot
          </Button>
          {hasChanged && <Button variant="subtle" onClick={() => setWish({})}>Leave as it was</Button>}
        </div>
      ) : (
        <span className="quiet">
          {run.is_running ? "An admin may change them here." : "They can be changed while the bot runs."} For the next run they stand in the configuration, under <code>[{section}]</code>.
        </span>
      )}
      <Dialog opened={code === "confirm" || code === "loosens"} onClose={onReset} title={code === "confirm" ? `${name} of ${run.name} are about your money` : `Let more risk in at ${run.name}?`}>
        {code === "confirm" ? (
          <Confirm onConfirmed={() => send(false)} />
        ) : (
          <div className="form">
            <p><Told text={(error as { detail?: string } | null)?.detail ?? ""} /></p>
            <Facts of={Object.fromEntries(Object.entries(wish).filter(([each, value]) => written(value) !== written(shown(each, values[each]))).map(([each, value]) => [called(each, unitOf(run, each)), `${shown(each, values[each])} → ${written(value === "" ? "off" : value)}`]))} />
            <Button color="red.9" loading={isBusy} onClick={() => send(true)} data-autofocus>
              Loosen them
            </Button>
          </div>
        )}
      </Dialog>
    </Form>
  );
}

/** A limit as the server knows it, of one as it was typed: shares are typed in percent. */
function meant(name: string, value: unknown): unknown {
  return typeof value === "boolean" ? value : typed(value as number | string, SHARES.has(name) ? PERCENT : 1);
}

/** What is true now, as it would be typed. */
function shown(name: string, now: unknown): number | string {
  if (typeof now !== "number") return typeof now === "boolean" ? written(now) : "";
  return SHARES.has(name) ? typed(now, 1 / PERCENT) : now;
}

function unitOf(run: Run, name: string): string {
  if (name === AMOUNT) return sharedUnit(run.instruments, quoteOf) || "in quote units";
  return SHARES.has(name) ? "%" : (UNITS[name] ?? "");
}

const called = (name: string, unit: string) => (unit ? `${words(name)}, ${unit}` : words(name));

function Field({ name, now, wish, unit, hint, mayBeOff, flaw, isOff, onChange }: { name: string; now: unknown; wish: unknown; unit: string; hint?: string; mayBeOff?: boolean; flaw?: string; isOff: boolean; onChange: (value: unknown) => void }) {
  const shared = { label: called(name, unit), description: hint && <Told text={hint} />, disabled: isOff, error: flaw && (SHARES.has(name) ? `${flaw} (1 is 100 %)` : flaw) };
  if (typeof now === "boolean") return <Switch {...shared} checked={Boolean(wish ?? now)} onChange={(event) => onChange(event.currentTarget.checked)} />;
  const value = (wish as number | string | undefined) ?? shown(name, now);
  const told = name === AMOUNT ? <>{shared.description} {reading(value, unit)}</> : shared.description;
  return <NumberField {...shared} description={told} inputWrapperOrder={BELOW} value={value} placeholder={mayBeOff ? "off" : ""} onChange={onChange} />;
}

interface Property {
  description?: string;
  anyOf?: { type?: string }[];
}

/** What the configuration's schema says about each of them, and which may be off. */
function texts(schema: unknown, shape: string): Record<string, { text: string; mayBeOff: boolean }> {
  const parts = (schema as { $defs?: Record<string, { properties?: Record<string, Property> }> } | undefined)?.$defs;
  const told = ({ description = "", anyOf = [] }: Property) => ({ text: description, mayBeOff: anyOf.some((each) => each.type === "null") });
  return Object.fromEntries(Object.entries(parts?.[shape]?.properties ?? {}).map(([name, rule]) => [name, told(rule)]));
}
