/** The limits as a form: tightening holds at once, loosening asks once more, and both ask for a fresh password. */
import { Button, Modal, NumberInput, Switch } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { type FormEvent, useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, codeOf, type Schemas } from "../client/api";
import { words } from "../ui/format";
import { Failure } from "../ui/parts";
import { Confirm } from "./Confirm";

type Wish = Omit<Schemas["LimitsIn"], "loosen">;
type Name = keyof Wish;

const SHARES = new Set(["max_exposure", "max_asset_exposure", "max_venue_exposure", "price_collar", "max_slippage"]);
const UNITS: Record<string, string> = { duplicate_window: " s", stale_after: " bars", max_leverage: "×", exit_margin: "×" };

export function Limits({ run, me, limits }: { run: Run; me: Me; limits: Schemas["RiskOut"]["limits"] }) {
  const [wish, setWish] = useState<Wish>({});
  const schema = api.useQuery("get", "/api/v1/config/schema", {}, { staleTime: Number.POSITIVE_INFINITY });
  const change = api.useMutation("patch", "/api/v1/runs/{run}/risk/limits", {
    onSuccess: (answer) => {
      setWish({});
      notifications.show({ message: answer.notices[0]?.text ?? "Done, and on record." });
    },
  });
  const mayAct = (me.role === "admin" || me.demo) && run.is_running;
  const send = (loosen: boolean) => change.mutate({ params: { path: { run: run.name } }, body: { ...wish, loosen } });
  const put = (name: Name, value: unknown) => setWish((before) => ({ ...before, [name]: value }));
  const code = codeOf(change.error);
  const told = texts(schema.data);
  return (
    <form
      className="form"
      aria-label="Limits"
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        send(false);
      }}
    >
      <div className="fields">
        {(Object.entries(limits) as [Name, unknown][]).map(([name, now]) => (
          <Field key={name} name={name} now={now} wish={wish[name]} hint={told[name]} isOff={!mayAct} onChange={(value) => put(name, value)} />
        ))}
      </div>
      {change.error && !["confirm", "loosens"].includes(code) && <Failure error={change.error} />}
      {mayAct ? (
        <div className="row">
          <Button type="submit" disabled={Object.keys(wish).length === 0} loading={change.isPending}>
            Apply to the running bot
          </Button>
          {Object.keys(wish).length > 0 && <Button variant="subtle" onClick={() => setWish({})}>Leave as it was</Button>}
        </div>
      ) : (
        <span className="quiet">{run.is_running ? "An admin may change them here." : "They can be changed while the bot runs."} For the next run they stand in the configuration, under [risk.limits].</span>
      )}
      <Modal lockScroll={false} opened={code === "confirm" || code === "loosens"} onClose={change.reset} title={code === "confirm" ? "Limits are about your money" : "Let more risk in?"}>
        {code === "confirm" ? (
          <Confirm onConfirmed={() => send(false)} />
        ) : (
          <div className="form">
            <p>{(change.error as { detail?: string } | null)?.detail}</p>
            <Button color="red.9" loading={change.isPending} onClick={() => send(true)} data-autofocus>
              Loosen them
            </Button>
          </div>
        )}
      </Modal>
    </form>
  );
}

function Field({ name, now, wish, hint, isOff, onChange }: { name: Name; now: unknown; wish: unknown; hint?: string; isOff: boolean; onChange: (value: unknown) => void }) {
  const value = wish === undefined ? now : wish;
  const shared = { label: words(name), description: hint, disabled: isOff };
  if (typeof now === "boolean") return <Switch {...shared} checked={Boolean(value)} onChange={(event) => onChange(event.currentTarget.checked)} />;
  const isShare = SHARES.has(name);
  const shown = typeof value === "number" ? (isShare ? Math.round(value * 1e6) / 1e4 : value) : "";
  return (
    <NumberInput
      {...shared}
      value={shown}
      min={0}
      placeholder="off"
      suffix={isShare ? " %" : UNITS[name]}
      allowDecimal={!Number.isInteger(now) || !["max_positions", "max_orders_per_minute"].includes(name)}
      thousandSeparator=","
      onChange={(found) => onChange(found === "" ? null : isShare ? Number(found) / 100 : Number(found))}
    />
  );
}

/** What the configuration's schema says about each limit. */
function texts(schema: unknown): Record<string, string> {
  const parts = (schema as { $defs?: Record<string, { properties?: Record<string, { description?: string }> }> } | undefined)?.$defs;
  return Object.fromEntries(Object.entries(parts?.LimitsConfig?.properties ?? {}).map(([name, rule]) => [name, rule.description ?? ""]));
}
