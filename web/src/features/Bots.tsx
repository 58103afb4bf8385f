/** Starting and stopping bots: paper by a form, real orders with a fresh password and the venues' names typed back. */
import { Button, Checkbox, MultiSelect, PasswordInput, SegmentedControl, Select, TextInput } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, codeOf, placed, type Schemas } from "../client/api";
import { choose } from "../client/kept";
import { Dialog } from "../ui/Dialog";
import { reading, typed } from "../ui/format";
import { BELOW, NumberField } from "../ui/NumberField";
import { Failure, Form } from "../ui/parts";
import { Act } from "../ui/reach";
import { Confirm } from "./Confirm";
import { mayAct } from "./may";
import { ParameterFields, propertiesOf, type Value } from "./ParameterFields";
import { choicesOf, SUBJECT, TIMEFRAMES, useCatalog, useMoney } from "./Subject";

/** Seconds. */
const HOUR = 3_600;

/** What is known of how a bot was started: one of which there is nothing cannot be started again. */
export function useBot(name: string | undefined, isAsked = true) {
  return api.useQuery("get", "/api/v1/bots", {}, { staleTime: 5_000, enabled: isAsked }).data?.find((each) => each.name === name);
}

export function BotButtons({ run, me }: { run: Run; me: Me }) {
  const [isAgain, again] = useState(false);
  const [isAsked, ask] = useState(false);
  const queries = useQueryClient();
  const known = useBot(run.name);
  const stop = api.useMutation("post", "/api/v1/bots/{run}/stop", {
    onSuccess: () => {
      notifications.show({ message: `${run.name} ends; its positions and stops stay as they are.` });
      void queries.invalidateQueries();
    },
    onError: (error) => notifications.show({ color: "red", message: (error as { detail?: string }).detail ?? "It did not end." }),
  });
  if (!mayAct(me)) return null;
  const end = () => stop.mutate({ params: { path: { run: run.name } } });
  return (
    <div className="row">
      {run.is_running && (
        <Act control={`end ${run.name}`} size="xs" variant="outline" color="red.7" loading={stop.isPending} onClick={() => (run.is_real ? ask(true) : end())}>
          Stop the bot
        </Act>
      )}
      <Dialog opened={isAsked} onClose={() => ask(false)} title={`Stop ${run.name}?`}>
        <p>Its positions stay, with the stops that the venue keeps. What the program itself watches, it watches no more: exits of its strategies, and stops that the venue does not keep.</p>
        <Button color="red.7" onClick={() => [ask(false), end()]}>
          Stop it
        </Button>
      </Dialog>
      {!run.is_running && known && (
        <Act control={`again ${run.name}`} size="xs" variant="light" onClick={() => again(true)}>
          Start it again
        </Act>
      )}
      <NewBot me={me} />
      <Dialog opened={isAgain} onClose={() => again(false)} title={`Start ${run.name} again`}>
        {known && <Again of={known} onDone={() => again(false)} />}
      </Dialog>
    </div>
  );
}

/** What a form for a bot begins with. */
interface Given {
  strategy: string;
  parameters: Record<string, Value>;
  instruments: string[];
  timeframe: string;
}

export function NewBot({ me, given, name = "New bot", control = "new bot" }: { me: Me; given?: Given; name?: string; control?: string }) {
  const [isOpen, open] = useState(false);
  if (!mayAct(me)) return null;
  return (
    <>
      <Act control={control} size="xs" variant={given ? "light" : undefined} onClick={() => open(true)}>
        {name}
      </Act>
      <Dialog size="lg" opened={isOpen} onClose={() => open(false)} title="Start a new bot">
        <Start me={me} given={given} onDone={() => open(false)} />
      </Dialog>
    </>
  );
}

function useStarted(onDone: () => void) {
  const queries = useQueryClient();
  return {
    onSuccess: (bot: Schemas["BotOut"]) => {
      notifications.show({ message: bot.is_running ? `${bot.name} is running.` : `${bot.name} gets ready; it appears when its market is there.` });
      choose(bot.name);
      void queries.invalidateQueries();
      onDone();
    },
  };
}

function Start({ me, given, onDone }: { me: Me; given?: Given; onDone: () => void }) {
  const catalog = useCatalog();
  const { currency, moneyIn } = useMoney();
  const isNarrow = useMediaQuery("(max-width: 760px)", undefined, { getInitialValueInEffect: false });
  const [name, setName] = useState("paper");
  const [strategy, setStrategy] = useState<string | null>(given?.strategy ?? "EmaCross");
  const [instruments, setInstruments] = useState<string[]>(given?.instruments ?? ["BTC/USDT@BINANCE"]);
  const [timeframe, setTimeframe] = useState<string | null>(given?.timeframe ?? "1h");
  const [wallet, setWallet] = useState<number | string>(10_000);
  const [kind, setKind] = useState("replay");
  const [timerange, setTimerange] = useState("20250101-");
  const [speed, setSpeed] = useState<number | string>(24);
  const [fresh, setFresh] = useState(false);
  const [account, setAccount] = useState("main");
  const [values, setValues] = useState<Record<string, Value>>(given?.parameters ?? {});
  const start = api.useMutation("post", "/api/v1/bots", useStarted(onDone));
  const chosen = catalog.strategies.find((each) => each.name === strategy);
  const properties = propertiesOf(chosen?.parameters);
  const names = [...SUBJECT, "name", "wallet", "speed", "account", ...Object.keys(properties)];
  const { at } = placed(start.error, names);
  const venues = [...new Set(instruments.map((each) => each.split("@")[1] ?? "").filter(Boolean))].sort();
  const isReplay = kind === "replay";
  const send = (launch: Schemas["LaunchIn"]) =>
    start.mutate({
      body: {
        name,
        strategies: [{ strategy: strategy ?? "", parameters: values }],
        instruments,
        timeframe: timeframe ?? "1h",
        wallet: typed(wallet),
        feed: isReplay ? "replay" : "live",
        timerange: isReplay ? timerange : "",
        speed: typed(speed, HOUR),
        fresh,
        is_real: kind === "real",
        account,
        ...launch,
      },
    });
  const kinds = [
    { value: "replay", label: "Paper, stored data" },
    { value: "live", label: "Paper, live market" },
    ...(me.role === "admin" && !me.demo ? [{ value: "real", label: "Real orders" }] : []),
  ];
  return (
    <Launch isReal={kind === "real"} venues={venues} names={names} error={start.error} isBusy={start.isPending} onLaunch={send} label={kind === "real" ? "Start it with real money" : "Start it"}>
      <SegmentedControl data={kinds} value={kind} onChange={setKind} aria-label="What it trades on" orientation={isNarrow ? "vertical" : "horizontal"} fullWidth={isNarrow} />
      <div className="fields">
        <TextInput label="Name" value={name} onChange={(e) => setName(e.currentTarget.value)} error={at.name} required />
        <Select label="Strategy" {...choicesOf(catalog.strategies)} value={strategy} onChange={(found) => { setStrategy(found); setValues({}); }} error={at.strategy} allowDeselect={false} searchable />
        <Select label="Timeframe" data={TIMEFRAMES} value={timeframe} onChange={setTimeframe} error={at.timeframe} allowDeselect={false} />
        <NumberField label={moneyIn(kind === "real" ? "Use at most" : "Money to begin with")} description={reading(wallet, currency)} inputWrapperOrder={BELOW} value={wallet} onChange={setWallet} error={at.wallet} />
      </div>
      {chosen?.summary && <span className="quiet">{chosen.summary}</span>}
      {isReplay ? (
        <MultiSelect label="Instruments" data={catalog.instruments} value={instruments} onChange={setInstruments} error={at.instruments} searchable />
      ) : (
        <TextInput label="Instruments" description="As BTC/USDT@BINANCE, with blanks between" value={instruments.join(" ")} onChange={(e) => setInstruments(e.currentTarget.value.trimStart().split(/[ ,]+/))} error={at.instruments} />
      )}
      {isReplay && (
        <div className="fields">
          <TextInput label="Time range" description="20250101-20250601; open at an end" value={timerange} onChange={(e) => setTimerange(e.currentTarget.value)} error={at.timerange} />
          <NumberField label="Speed" description="Hours of the market in one second" value={speed} onChange={setSpeed} error={at.speed && `${at.speed} (${HOUR} is one hour)`} />
        </div>
      )}
      {kind === "real" && <TextInput label="Account" description="As you named it when you added its key" value={account} onChange={(e) => setAccount(e.currentTarget.value)} error={at.account} />}
      {Object.keys(properties).length > 0 && (
        <div className="row">
          <ParameterFields properties={properties} values={values} flaws={at} onChange={(key, value) => setValues((before) => ({ ...before, [key]: value }))} />
        </div>
      )}
      <Checkbox label="Start anew: what a bot of this name has on record is moved aside" checked={fresh} onChange={(e) => setFresh(e.currentTarget.checked)} />
      <span className="quiet">Limits, fees and breakers are those of your configuration file, and else the careful defaults.</span>
    </Launch>
  );
}

function Again({ of, onDone }: { of: Schemas["BotOut"]; onDone: () => void }) {
  const start = api.useMutation("post", "/api/v1/bots/{name}/start", useStarted(onDone));
  const send = (body: Schemas["LaunchIn"]) => start.mutate({ params: { path: { name: of.name } }, body });
  return (
    <Launch isReal={of.is_real} venues={of.venues} error={start.error} isBusy={start.isPending} onLaunch={send} label={of.is_real ? "Start it with real money" : "Start it"}>
      <p>It goes on where it was, with the same settings.</p>
    </Launch>
  );
}

/** A form that starts a bot: with real orders it also asks for the venues' names, and for the password once more. */
function Launch({
  isReal,
  venues,
  names = [],
  error,
  isBusy,
  label,
  onLaunch,
  children,
}: {
  isReal: boolean;
  venues: string[];
  /** Fields among the children, which show themselves what is wrong with them. */
  names?: string[];
  error: unknown;
  isBusy: boolean;
  label: string;
  onLaunch: (given: Schemas["LaunchIn"]) => void;
  children: ReactNode;
}) {
  const [typed, setTyped] = useState("");
  const [passphrase, setPassphrase] = useState("");
  const launch = () => onLaunch(isReal ? { confirm: typed.split(/[\s,]+/).filter(Boolean), passphrase } : { confirm: [], passphrase: "" });
  const { at, rest } = placed(error, [...names, "confirm", "passphrase"]);
  return (
    <Form label="Start a bot" error={error} onSend={launch} below={codeOf(error) === "confirm" && <Confirm onConfirmed={launch} />}>
      {children}
      {isReal && (
        <div className="fields">
          <TextInput label={`Type ${venues.join(" ")} to trade there with real money`} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} error={at.confirm} required autoComplete="off" />
          <PasswordInput label="Passphrase of the vault" description="Empty where the server can open it by itself" value={passphrase} onChange={(e) => setPassphrase(e.currentTarget.value)} error={at.passphrase} autoComplete="off" />
        </div>
      )}
      {codeOf(error) !== "confirm" && <Failure error={rest} />}
      <div>
        <Button type="submit" color={isReal ? "red.9" : undefined} loading={isBusy}>
          {label}
        </Button>
      </div>
    </Form>
  );
}
