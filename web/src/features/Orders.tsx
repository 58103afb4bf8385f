/** Orders, fills and positions; an order by hand goes through the same risk gate; each fill answers "why?". */
import { Alert, Button, Drawer, Select, Tabs, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMemo, useState } from "react";
import type { Me, Run } from "../app/Shell";
import { useAddress } from "../client/address";
import { api, codeOf, placed, told, type Schemas } from "../client/api";
import { Attempt, type Doubt } from "../client/attempt";
import { useLastPrice, useValued } from "../client/valued";
import { DataTable, ROOM } from "../ui/DataTable";
import { Dialog } from "../ui/Dialog";
import { baseOf, exact, inUnit, money, pair, quoteOf, toStep, typed, words } from "../ui/format";
import { NumberField } from "../ui/NumberField";
import { Export, Failure, Form, Loaded, Panel, Time, Told } from "../ui/parts";
import { Act } from "../ui/reach";
import { fillColumns, orderColumns, positionColumns } from "./columns";
import { maySteer } from "./may";
import { fitting, PagedTable, usePages } from "./pages";
import { PeriodFields, usePeriod } from "./Period";
import { Why } from "./Why";

const orderKey = (row: Schemas["OrderOut"]) => row.id;
const [ORDERS, FILLS] = ["orders", "fills"];
const fillKey = (row: Schemas["FillOut"]) => row.ref;

export default function Orders({ run, me }: { run: Run; me: Me }) {
  const path = { run: run.name };
  const [why, ask] = useState<{ order?: string; ref?: string } | null>(null);
  const [isPlacing, place] = useState(false);
  const [asked, put] = useAddress("list");
  const list = asked.list === FILLS ? FILLS : ORDERS;
  const mayAct = maySteer(me, run);
  const open = usePages<Schemas["OrderOut"]>(`/api/v1/runs/${run.name}/orders`, run.run_id, orderKey, { query: { is_open: "true" }, mayChange: () => true });
  const positions = useValued("positions", api.useQuery("get", "/api/v1/runs/{run}/positions", { params: { path } }));
  const cancel = api.useMutation("delete", "/api/v1/runs/{run}/orders/{order_id}");
  const [closed] = useState(() => new Attempt("close"));
  const leave = api.useMutation("post", "/api/v1/runs/{run}/orders", { onSuccess: () => closed.answered(null), onError: (error) => closed.answered(error) });
  const [changed, change] = useState<Schemas["OrderOut"] | null>(null);
  const [grave, consider] = useState<{ title: string; text: string; act: () => void } | null>(null);
  const taken = (row: Schemas["OrderOut"]) => () => cancel.mutate({ params: { path: { ...path, order_id: row.id } } });
  const withdraw = (row: Schemas["OrderOut"]) =>
    row.purpose === "entry" || row.purpose === "signal"
      ? taken(row)()
      : consider({ title: `Take back the ${words(row.purpose).toLowerCase()} of ${run.name}?`, text: `${pair(row.instrument)} then stands without it until ${row.strategy} or you place another.`, act: taken(row) });
  const closing = (row: Schemas["PositionOut"]) => () => {
    const wish = {
      strategy: row.strategy,
      instrument: row.instrument,
      side: row.direction === "long" ? ("sell" as const) : ("buy" as const),
      quantity: row.quantity.replace("-", ""),
      reduce_only: true,
    };
    leave.mutate({ params: { path }, body: { id: closed.id({ run: run.run_id, opened: row.ts_opened, ...wish }), ...wish } });
  };
  return (
    <>
      <div className="panel-head">
        <h1>Orders</h1>
        {mayAct && <Act control={`order ${run.name}`} size="xs" onClick={() => place(true)}>Order by hand</Act>}
      </div>
      <Panel title="Positions">
        <Refused error={leave.error} rest={leave.error} />
        <Loaded query={positions} height={ROOM}>
          {(rows) => (
            <DataTable
              label="Positions"
              rows={rows}
              reserved={4}
              keyOf={(row) => row.strategy + row.instrument}
              empty="Nothing is held. A position appears here as soon as an entry fills."
              columns={[
                ...positionColumns(run),
                ...(mayAct ? [{ name: "", cell: (row: Schemas["PositionOut"]) => <Button size="compact-xs" variant="outline" color="red.7" onClick={() => consider({ title: `Close ${pair(row.instrument)} of ${run.name}?`, text: `${inUnit(row.quantity.replace("-", ""), baseOf(row.instrument))} are ${row.direction === "long" ? "sold" : "bought back"} at market${run.is_real ? ", with real money" : ""}.`, act: closing(row) })}>Close</Button> }] : []),
              ]}
            />
          )}
        </Loaded>
      </Panel>
      <Panel title="Open orders">
        {cancel.error && <Failure error={cancel.error} />}
        <PagedTable
          label="Open orders"
          of={open}
          room={ROOM}
          reserved={4}
          keyOf={orderKey}
          empty="No order rests at the venue. Limit orders and protective stops wait here until they fill."
          onRow={(row) => ask({ order: row.id })}
          columns={[
            ...orderColumns(run),
            ...(mayAct
              ? [
                  {
                    name: "",
                    width: "150px",
                    cell: (row: Schemas["OrderOut"]) => (
                      <span className="row">
                      <Button size="compact-xs" variant="light" onClick={(e) => { e.stopPropagation(); change(row); }}>
                        Change
                      </Button>
                      <Button size="compact-xs" variant="light" onClick={(e) => { e.stopPropagation(); withdraw(row); }}>
                        Cancel
                      </Button>
                      </span>
                    ),
                  },
                ]
              : []),
          ]}
        />
      </Panel>
      <Panel>
        <Tabs value={list} onChange={(found) => put({ list: found === ORDERS ? null : found })} keepMounted={false}>
          <Tabs.List>
            <Tabs.Tab value={ORDERS}>All orders</Tabs.Tab>
            <Tabs.Tab value={FILLS}>Fills</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value={ORDERS}>
            <AllOrders run={run} onRow={(row) => ask({ order: row.id })} />
          </Tabs.Panel>
          <Tabs.Panel value={FILLS}>
            <Fills run={run} onRow={(row) => ask({ ref: row.ref })} />
          </Tabs.Panel>
        </Tabs>
      </Panel>
      <Drawer lockScroll={false} opened={why !== null} onClose={() => ask(null)} title="Why?" position="right" size="lg">
        {why && <Why run={run} {...why} />}
      </Drawer>
      <Dialog opened={changed !== null} onClose={() => change(null)} title={`Change an order of ${run.name}`}>
        {changed && <Change run={run} of={changed} onDone={() => change(null)} />}
      </Dialog>
      <Dialog opened={grave !== null} onClose={() => consider(null)} title={grave?.title}>
        <div className="form">
          <p>{grave?.text}</p>
          <Button color="red.9" data-autofocus onClick={() => { grave?.act(); consider(null); }}>
            Yes, do it
          </Button>
        </div>
      </Dialog>
      <Dialog opened={isPlacing} onClose={() => place(false)} title={`Order by hand: ${run.name}`}>
        <ByHand run={run} onDone={() => place(false)} />
      </Dialog>
    </>
  );
}

function AllOrders({ run, onRow }: { run: Run; onRow: (row: Schemas["OrderOut"]) => void }) {
  const period = usePeriod();
  const orders = usePages<Schemas["OrderOut"]>(`/api/v1/runs/${run.name}/orders`, run.run_id, orderKey, { query: period.query, mayChange: (row) => row.is_open });
  const { at, rest } = placed(orders.error, ["start"]);
  return (
    <>
      <div className="row filters">
        <PeriodFields of={period} now={run.now} flaw={at.start} />
        <Export run={run.name} what="orders" query={period.query} />
      </div>
      <PagedTable label="All orders" of={fitting(orders, rest)} keyOf={orderKey} columns={orderColumns(run)} onRow={onRow} empty={period.isAll ? "No order was sent yet." : "No order was sent in these days."} />
    </>
  );
}

function Fills({ run, onRow }: { run: Run; onRow: (row: Schemas["FillOut"]) => void }) {
  const period = usePeriod();
  const fills = usePages<Schemas["FillOut"]>(`/api/v1/runs/${run.name}/fills`, run.run_id, fillKey, { query: period.query });
  const { at, rest } = placed(fills.error, ["start"]);
  return (
    <>
      <div className="row filters">
        <PeriodFields of={period} now={run.now} flaw={at.start} />
        <Export run={run.name} what="fills" query={period.query} />
      </div>
      <PagedTable label="Fills" of={fitting(fills, rest)} keyOf={fillKey} columns={fillColumns(run)} onRow={onRow} empty={period.isAll ? "No order has filled yet." : "No order filled in these days."} />
    </>
  );
}

/** Why nothing was done: what risk or the bot refused, by its code; of anything else what `rest` is beside the fields. */
function Refused({ error, rest }: { error: unknown; rest: unknown }) {
  const { title, fields } = told(error);
  const isByBot = (error as { status?: number } | null)?.status === 409;
  if (!isByBot) return <Failure error={rest} />;
  return (
    <Alert color="yellow" variant="light" role="alert" title={`Refused: ${words(codeOf(error)).toLowerCase()}`}>
      <Told text={fields[0]?.message ?? title} />
    </Alert>
  );
}

function Change({ run, of, onDone }: { run: Run; of: Schemas["OrderOut"]; onDone: () => void }) {
  const [quantity, setQuantity] = useState(of.quantity);
  const [price, setPrice] = useState(of.price ?? "");
  const [trigger, setTrigger] = useState(of.trigger ?? "");
  const amend = api.useMutation("patch", "/api/v1/runs/{run}/orders/{order_id}", {
    onSuccess: onDone,
  });
  const other = (now: string, before: string | null) => (now !== (before ?? "") ? now : undefined);
  const body = { quantity: other(quantity, of.quantity), price: other(price, of.price), trigger: other(trigger, of.trigger) };
  const { at, rest } = placed(amend.error, ["quantity", "price", "trigger"]);
  const send = () => amend.mutate({ params: { path: { run: run.name, order_id: of.id } }, body });
  return (
    <Form label="Change an order" error={amend.error} onSend={send}>
      <TextInput label="Quantity" description={`In ${baseOf(of.instrument)}`} inputMode="decimal" value={quantity} onChange={(e) => setQuantity(e.currentTarget.value)} error={at.quantity} required />
      {of.price !== null && <TextInput label="Limit price" description={`In ${quoteOf(of.instrument)}`} inputMode="decimal" value={price} onChange={(e) => setPrice(e.currentTarget.value)} error={at.price} required />}
      {of.trigger !== null && <TextInput label="Trigger" description={`In ${quoteOf(of.instrument)}`} inputMode="decimal" value={trigger} onChange={(e) => setTrigger(e.currentTarget.value)} error={at.trigger} required />}
      <Refused error={amend.error} rest={rest} />
      <Button type="submit" loading={amend.isPending} disabled={Object.values(body).every((each) => each === undefined)}>
        Ask risk, then change it
      </Button>
    </Form>
  );
}

/** Orders to which no answer came, whenever they were sent from here. */
function InDoubt({ of, onSeen }: { of: Doubt[]; onSeen: () => void }) {
  const named = ({ side, quantity, instrument, price, trigger }: Doubt["of"]) =>
    [side, quantity, pair(String(instrument)), price || trigger ? `at ${price ?? trigger} ${quoteOf(String(instrument))}` : "at market"].join(" ");
  return (
    <Alert color="yellow" variant="light" title="No answer came to this">
      <ul>
        {of.map((each) => <li key={each.id}>{named(each.of)}, asked for at <Time ms={each.at} /> UTC</li>)}
      </ul>
      <p>It may have been placed. Sent again as it is, it is placed once. Look at the orders before you send another.</p>
      <Button size="compact-xs" variant="default" onClick={onSeen}>I have seen what became of it</Button>
    </Alert>
  );
}

function ByHand({ run, onDone }: { run: Run; onDone: () => void }) {
  const [instrument, setInstrument] = useState(run.instruments[0] ?? "");
  const [strategy, setStrategy] = useState(run.strategies[0] ?? "");
  const [side, setSide] = useState<"buy" | "sell">("buy");
  const [type, setType] = useState<"market" | "limit" | "stop" | "take_profit">("market");
  const [quantity, setQuantity] = useState("");
  const [price, setPrice] = useState("");
  const [stop, setStop] = useState<number | string>("");
  const instruments = api.useQuery("get", "/api/v1/runs/{run}/instruments", { params: { path: { run: run.name } } });
  const rules = useLastPrice(instruments.data?.find((each) => each.id === instrument));
  const last = rules?.price;
  const attempt = useMemo(() => new Attempt(`order ${run.run_id}`), [run.run_id]);
  const [, look] = useState(0);
  const place = api.useMutation("post", "/api/v1/runs/{run}/orders", {
    onError: (error) => attempt.answered(error),
    onSuccess: () => {
      attempt.answered(null);
      notifications.show({ message: `Risk let it pass: ${side} ${quantity} ${rules?.base ?? ""} is on its way.` });
      onDone();
    },
  });
  const worth = last && Number(quantity) > 0 ? `, about ${money(Number(quantity) * last)} ${rules?.quote ?? ""}` : "";
  const { at, rest } = placed(place.error, ["strategy", "instrument", "side", "type", "quantity", "price", "trigger", "stop_distance"]);
  const send = () => {
    const wish = {
      strategy,
      instrument,
      side,
      type,
      quantity,
      price: type === "limit" ? price : undefined,
      trigger: type === "stop" || type === "take_profit" ? price : undefined,
      stop_distance: stop === "" ? undefined : typed(stop),
    };
    place.mutate({ params: { path: { run: run.name } }, body: { id: attempt.id(wish), ...wish } });
  };
  return (
    <Form label="Order by hand" error={place.error} onSend={send}>
      {run.is_real && <p className="careful">This bot trades with real money.</p>}
      <Select label="Strategy whose capital it uses" data={run.strategies} value={strategy} onChange={(v) => v && setStrategy(v)} error={at.strategy} allowDeselect={false} />
      <Select label="Instrument" data={run.instruments} value={instrument} onChange={(v) => v && setInstrument(v)} error={at.instrument} allowDeselect={false} searchable />
      <Select label="Side" data={["buy", "sell"]} value={side} onChange={(v) => v && setSide(v as typeof side)} error={at.side} allowDeselect={false} />
      <Select label="Type" data={["market", "limit", "stop", { value: "take_profit", label: "take-profit" }]} value={type} onChange={(v) => v && setType(v as typeof type)} error={at.type} allowDeselect={false} />
      <TextInput label="Quantity" description={rules ? `${rules.base} in steps of ${exact(rules.lot)}${worth}` : "In the asset that is traded"} inputMode="decimal" value={quantity} onChange={(e) => setQuantity(e.currentTarget.value)} error={at.quantity} required />
      {type !== "market" && <TextInput label={type === "limit" ? "Limit price" : "Trigger"} description={rules ? `${rules.quote} in steps of ${exact(rules.tick)}, last ${toStep(last, rules.tick)}` : undefined} inputMode="decimal" value={price} onChange={(e) => setPrice(e.currentTarget.value)} error={at.price ?? at.trigger} required />}
      <NumberField label="Stop-loss distance" description={`${quoteOf(instrument)} from the price; empty for none`} value={stop} onChange={setStop} error={at.stop_distance} />
      <Refused error={place.error} rest={rest} />
      {!place.isPending && attempt.open.length > 0 && <InDoubt of={attempt.open} onSeen={() => { attempt.forget(); look((count) => count + 1); }} />}
      <Button type="submit" loading={place.isPending}>
        Ask risk, then send
      </Button>
    </Form>
  );
}
