/** The frame of every screen: where one is, which run is looked at, how it stands, and the kill switch. */
import { ActionIcon, Kbd, Select, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { type ComponentType, lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link as Go, Redirect, Route, Switch, useLocation } from "wouter";
import { api, type Schemas } from "../client/api";
import { choose, useChosen } from "../client/kept";
import { leave } from "../client/me";
import { stream, useLink } from "../client/stream";
import { useValuedRun } from "../client/valued";
import { NewBot } from "../features/Bots";
import { KillSwitch } from "../features/KillSwitch";
import { mayAct } from "../features/may";
import { News } from "../features/News";
import { RulesOfRun } from "../features/rules";
import { stateOf } from "../features/standing";
import { isFresh, Trouble } from "../features/Trouble";
import { money } from "../ui/format";
import { Empty, Gain, Loaded, Settled, State, Waiting } from "../ui/parts";
import { Act, useReach } from "../ui/reach";
import { openPalette, Palette } from "./Palette";

export type Run = Schemas["RunOut"];
export type Me = Schemas["MeOut"];

interface Screen {
  path: string;
  name: string;
  /** What it shows of a run; a screen without it needs none. */
  ofRun?: string;
  /** Whether it has something to show to an admin where there is no run. */
  hasMore?: boolean;
  view: ComponentType<{ run: Run; me: Me }>;
}

const SCREENS: Screen[] = [
  { path: "/", name: "Overview", ofRun: "Equity, profit, risk and what happened last", view: lazy(() => import("../features/Overview")) },
  { path: "/markets", name: "Markets", ofRun: "Candles with entries, exits and stops, and the order book", view: lazy(() => import("../features/Markets")) },
  { path: "/strategies", name: "Strategies", ofRun: "Parameters, signals and results of each strategy", view: lazy(() => import("../features/Strategies")) },
  { path: "/orders", name: "Orders", ofRun: "Positions, orders and fills, and why each came to be", view: lazy(() => import("../features/Orders")) },
  { path: "/round-trips", name: "Round trips", ofRun: "Every trade from entry to exit, with your notes", view: lazy(() => import("../features/RoundTrips")) },
  { path: "/portfolio", name: "Portfolio", ofRun: "Balances, what brought what, and the ledger", view: lazy(() => import("../features/Portfolio")) },
  { path: "/risk", name: "Risk", ofRun: "Limits, breakers and what was refused", view: lazy(() => import("../features/Risk")) },
  { path: "/logs", name: "Logs", ofRun: "What a bot does, line by line", hasMore: true, view: lazy(() => import("../features/Logs")) },
  { path: "/alerts", name: "Alerts", view: lazy(() => import("../features/Alerts")) },
  { path: "/backtests", name: "Backtests", view: lazy(() => import("../features/Backtests")) },
  { path: "/optimise", name: "Optimise", view: lazy(() => import("../features/Optimise")) },
  { path: "/data", name: "Data", view: lazy(() => import("../features/Data")) },
  { path: "/jobs", name: "Jobs", view: lazy(() => import("../features/Jobs")) },
  { path: "/settings", name: "Settings", view: lazy(() => import("../features/Settings")) },
];

export function Shell({ me }: { me: Me }) {
  const queries = useQueryClient();
  const [path] = useLocation();
  const runs = api.useQuery("get", "/api/v1/runs", {}, { refetchInterval: 2_000 });
  const chosen = useChosen();
  const [held, hold] = useState<string>();
  const found = [chosen, held].map((name) => runs.data?.find((each) => each.name === name)).find((each) => each);
  const run = useValuedRun(found ?? runs.data?.find((each) => each.is_running) ?? runs.data?.[0]);
  const hasRun = run !== undefined;

  useEffect(() => hold(run?.name), [run?.name]); // it may stop: until a person picks another one, no other takes its place
  const read = useRef(0);
  read.current = run?.changes ?? 0;
  useEffect(() => {
    stream.follow(queries, run?.name ?? null, run?.run_id ?? "", read.current);
  }, [queries, run?.name, run?.run_id]);
  useEffect(() => () => stream.leave(), []); // whoever is shown the entrance
  useEffect(() => {
    const screen = SCREENS.find((each) => each.path === path);
    document.querySelector(".side .here")?.scrollIntoView({ block: "nearest", inline: "center" }); // on a phone they stand in a row
    document.title = `${screen ? `${screen.name} · ` : ""}Abidance`;
  }, [path]);

  return (
    <div className="shell">
      <a className="skip" href="#screen">
        Skip to the screen
      </a>
      <nav className="side" aria-label="Screens">
        <div className="brand">
          <img src="/icon.svg" alt="" width={24} height={24} /> Abidance
        </div>
        {SCREENS.map((each) => (
          <Go key={each.path} href={each.path} className={path === each.path ? "here" : undefined} aria-current={path === each.path ? "page" : undefined}>
            {each.name}
          </Go>
        ))}
        <button type="button" className="palette" onClick={openPalette}>
          <svg viewBox="0 0 16 16" width={16} height={16} aria-hidden="true">
            <circle cx="7" cy="7" r="4.5" />
            <path d="M10.5 10.5 15 15" />
          </svg>
          <span className="word">Commands</span>
          <span className="keys" aria-hidden="true"><Kbd size="xs">Ctrl</Kbd> <Kbd size="xs">K</Kbd></span>
        </button>
      </nav>
      <div className="main">
        <Top me={me} run={run} runs={runs.data} onRun={choose} />
        <main id="screen" tabIndex={-1}>
          <Trouble run={run} me={me} />
          <Loaded query={runs}>
            {() => (
              <RulesOfRun run={run}>
                <Suspense fallback={<div className="settling"><Waiting /></div>}>
                  <Switch>
                    {SCREENS.map((each) => (
                      <Route key={each.path} path={each.path}>
                        <Settled key={each.ofRun ? `${each.path} ${run?.run_id}` : each.path}>{each.ofRun && !hasRun && !(each.hasMore && me.role === "admin") ? <NoRun me={me} of={each} /> : <each.view run={run as Run} me={me} />}</Settled>
                      </Route>
                    ))}
                    <Redirect to="/" />
                  </Switch>
                </Suspense>
              </RulesOfRun>
            )}
          </Loaded>
        </main>
      </div>
      <News />
      <Palette screens={SCREENS} run={run} runs={runs.data ?? []} me={me} />
    </div>
  );
}

function Top({ me, run, runs, onRun }: { me: Me; run: Run | undefined; runs: Run[] | undefined; onRun: (name: string) => void }) {
  const link = useLink();
  const shown = link === "live" && !isFresh(run) ? "old" : link;
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true }); // or a style element is made, which the policy forbids
  const scheme = useComputedColorScheme("dark");
  const colours = useReach<HTMLButtonElement>("colours");
  return (
    <header className={run?.is_real ? "top top-live" : runs?.length === 0 ? "top top-bare" : "top"}>
      {run && (
        <>
          <span className={run.is_real ? "mode mode-live" : "mode mode-paper"}>{run.is_real ? "LIVE" : "PAPER"}</span>
          <Select
            aria-label="Run"
            size="xs"
            data={(runs ?? []).map((each) => ({ value: each.name, label: `${each.name}${each.is_running ? "" : " (stopped)"}` }))}
            value={run.name}
            onChange={(name) => name && onRun(name)}
            allowDeselect={false}
          />
          <State of={stateOf(run)} />
          <span className="equity" title="Equity and profit since the start">
            <b>{money(run.equity)}</b> {run.currency} <Gain of={run.profit} />
          </span>
        </>
      )}
      <span className="space" />
      <span className="acts">
      <span className={`link link-${shown}`} role="status">
        {shown}
      </span>
      <ActionIcon
        ref={colours}
        variant="subtle"
        aria-label={scheme === "dark" ? "Light colours" : "Dark colours"}
        onClick={() => setColorScheme(scheme === "dark" ? "light" : "dark")}
      >
        {scheme === "dark" ? "☀" : "☾"}
      </ActionIcon>
      {run && <KillSwitch key={run.name} run={run} me={me} />}
      {!me.demo && <LogOut me={me} />}
      </span>
      {link === "lost" && (
        <div className="lost" role="status">
          Connection lost: trying again. What is shown may be old.
        </div>
      )}
    </header>
  );
}

function LogOut({ me }: { me: Me }) {
  const queries = useQueryClient();
  // What is still asked for would be refused to whoever has left.
  const out = api.useMutation("delete", "/api/v1/session", { onMutate: () => queries.cancelQueries(), onSuccess: () => leave(queries) });
  return (
    <Act control="log out" size="xs" variant="subtle" disabled={out.isPending} onClick={() => out.mutate({})} title={`${me.name}, ${me.role}`}>
      Log out
    </Act>
  );
}

function NoRun({ me, of }: { me: Me; of: Screen }) {
  return (
    <>
      <h1>{of.name}</h1>
      <Empty>
        <p>{of.ofRun}: that stands here once a bot has run. None has yet in this user directory.</p>
        {!mayAct(me) ? (
          <p>Ask an operator to start one; it appears here at once.</p>
        ) : (
          <>
            <p>
              Start one on paper here, or in another terminal: <code>abidance trade -s EmaCross -p BTC/USDT</code>
            </p>
            <p>
              <NewBot me={me} />
            </p>
          </>
        )}
      </Empty>
    </>
  );
}
