/**
 * The palette: every screen, and every deed that makes sense now to whoever looks. It does nothing to a bot by itself: it
 * opens the page where that is done, with its dialog open or its button under the cursor.
 */
import { useHotkeys } from "@mantine/hooks";
import { Spotlight, spotlight } from "@mantine/spotlight";
import { useState } from "react";
import { useLocation } from "wouter";
import { api, type Schemas } from "../client/api";
import { send } from "../client/errand";
import { choose } from "../client/kept";
import { useBot } from "../features/Bots";
import { isHalted, mayAct, mayKill, mayRule, maySteer, stepsOf } from "../features/may";
import type { Me, Run } from "./Shell";

type Strategy = Schemas["RunStrategyOut"];
interface Deed {
  label: string;
  /** What takes it, and on which screen that stands; on every one where none is named. */
  control: string;
  path?: string;
  /** Whether the control may be pressed at once: it opens a dialog, or changes nothing but this page. */
  isPressed?: boolean;
}

export const openPalette = spotlight.open;

/** Return what the bot that is looked at can be told. */
function deedsOfBot(run: Run, me: Me, strategies: Strategy[], isKnown: boolean): Deed[] {
  const [orders, home, risk] = ["/orders", "/strategies", "/risk"];
  const found: Deed[] = [];
  if (maySteer(me, run)) {
    found.push({ label: "Order by hand", control: `order ${run.name}`, path: orders, isPressed: true });
    for (const each of strategies) {
      const name = `${run.name} ${each.name}`;
      found.push(...stepsOf(each.status).map((step) => ({ label: `${step.name}: ${each.name}`, control: `${step.to} ${name}`, path: home })));
      found.push({ label: `Change parameters: ${each.name}`, control: `parameters ${name}`, path: home });
    }
  }
  if (mayRule(me, run)) found.push(...["Limits", "Breakers"].map((each) => ({ label: `Change ${each.toLowerCase()}`, control: `${each} ${run.name}`, path: risk })));
  if (mayKill(me, run)) found.push({ label: "Kill switch", control: `kill ${run.name}`, isPressed: true });
  if (mayKill(me, run) && isHalted(run)) found.push({ label: "Release the kill switch", control: `release ${run.name}`, isPressed: true });
  if (maySteer(me, run)) found.push({ label: "Stop the bot", control: `end ${run.name}`, path: home });
  if (mayAct(me) && !run.is_running && isKnown) found.push({ label: "Start it again", control: `again ${run.name}`, path: home, isPressed: true });
  return found;
}

/** Return what can be asked for without a bot. */
const deedsOfHouse = (me: Me): Deed[] =>
  mayAct(me)
    ? [
        { label: "New bot", control: "new bot", path: "/strategies", isPressed: true },
        { label: "New backtest", control: "backtest", path: "/backtests" },
        { label: "New search for parameters", control: "search", path: "/optimise" },
        { label: "Download data", control: "download", path: "/data" },
      ]
    : [];

const deedsOfPage = (me: Me): Deed[] => [
  { label: "Light or dark colours", control: "colours", isPressed: true },
  { label: "Appearance", control: "appearance", path: "/settings", isPressed: true },
  ...(me.demo ? [] : [{ label: "Log out", control: "log out", isPressed: true }]),
];

export function Palette({ screens, run, runs, me }: { screens: { path: string; name: string }[]; run: Run | undefined; runs: Run[]; me: Me }) {
  const [, go] = useLocation();
  const [isOpen, open] = useState(false);
  const mayNow = run !== undefined && maySteer(me, run);
  const strategies = api.useQuery("get", "/api/v1/runs/{run}/strategies", { params: { path: { run: run?.name ?? "" } } }, { enabled: isOpen && mayNow });
  const isKnown = useBot(run?.name, isOpen) !== undefined;
  useHotkeys([["mod+K", spotlight.toggle]], []); // out of a field as well

  const shown = ({ label, control, path, isPressed = false }: Deed) => ({
    id: control,
    label,
    onClick: () => {
      if (path) go(path);
      setTimeout(() => send({ control, isPressed })); // once the palette has closed, and given the cursor back
    },
  });
  const groups = [
    { group: run ? `${run.name}, ${run.is_real ? "real money" : "paper"}` : "", actions: run ? deedsOfBot(run, me, strategies.data ?? [], isKnown).map((each) => ({ ...shown(each), keywords: run.name })) : [] },
    { group: "New", actions: deedsOfHouse(me).map(shown) },
    { group: "Other bots", actions: runs.filter((each) => each.name !== run?.name).map((each) => ({ id: `look ${each.name}`, label: `Look at ${each.name}`, onClick: () => choose(each.name) })) },
    { group: "Screens", actions: screens.map((each) => ({ id: each.path, label: each.name, onClick: () => go(each.path) })) },
    { group: "This page", actions: deedsOfPage(me).map(shown) },
  ].filter((each) => each.actions.length > 0);
  return (
    <Spotlight
      actions={groups}
      shortcut="/"
      lockScroll={false}
      attributes={{ content: { "aria-label": "Commands" } }}
      scrollable
      nothingFound="Nothing here is called so"
      searchProps={{ placeholder: "Screen or command", "aria-label": "Command" }}
      onSpotlightOpen={() => open(true)}
      onSpotlightClose={() => open(false)}
    />
  );
}
