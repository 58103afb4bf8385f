/** What bots want people to look at comes to the front by itself, wherever one is; from which level on, one chooses. */
import { Checkbox, Select } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useIsMutating } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { api, type Schemas } from "../client/api";
import { keep, useKept } from "../client/kept";
import { isOwn } from "../client/own";
import { Panel, Told } from "../ui/parts";

type Alert = Schemas["AlertOut"];
const LEVELS = [
  { value: "info", label: "All that they tell" },
  { value: "warning", label: "Warnings and errors" },
  { value: "error", label: "Errors" },
  { value: "none", label: "Nothing" },
] as const;
type Level = (typeof LEVELS)[number]["value"];
const COLOURS: Record<string, string> = { error: "red", warning: "yellow" };
/** So many are shown at once; of more only the number is told. */
const MOST = 3;

const keyOf = (of: Alert) => [of.run, of.ts, of.code, of.strategy, of.text].join(" ");
const useLevel = () => (useKept("abidance.news") ?? "warning") as Level;

/** Tell what is new since this page was opened, or since the level was chosen, and was not done here. */
export function News() {
  const level = useLevel();
  const isOnDesktop = useKept("abidance.desktop") === "on";
  const query = { level: level === "none" ? ("error" as const) : level, limit: 50 };
  const { data } = api.useQuery("get", "/api/v1/alerts", { params: { query } }, { refetchInterval: 2_000, enabled: level !== "none" });
  const isAsking = useIsMutating() > 0; // whether news is of one's own making, the answer says
  const known = useRef<{ level: Level; keys: Set<string> } | null>(null);
  useEffect(() => {
    if (!data || isAsking) return;
    const before = known.current?.level === level ? known.current.keys : null;
    known.current = { level, keys: new Set(data.items.map(keyOf)) };
    const fresh = before ? data.items.filter((each) => !before.has(keyOf(each)) && !isOwn(each)) : [];
    for (const each of fresh.slice(0, MOST)) {
      notifications.show({ color: COLOURS[each.level] ?? "cyan", title: each.run || "The server", message: <Told text={each.text} />, autoClose: 8_000 });
    }
    if (fresh.length > MOST) notifications.show({ message: `And ${fresh.length - MOST} more: see Alerts.` });
    if (isOnDesktop && document.hidden) for (const each of fresh.slice(0, MOST)) new Notification(`Abidance: ${each.run || "the server"}`, { body: each.text, icon: "/icon.svg" });
  }, [data, level, isOnDesktop, isAsking]);
  return null;
}

export function NewsSettings() {
  const level = useLevel();
  const isOnDesktop = useKept("abidance.desktop") === "on";
  const [isRefused, setRefused] = useState(false);
  const desktop = async (wanted: boolean) => {
    const isAllowed = wanted && (await Notification.requestPermission()) === "granted";
    setRefused(wanted && !isAllowed);
    keep("abidance.desktop", isAllowed ? "on" : "off");
  };
  return (
    <Panel title="What comes to the front" aside="in this browser">
      <div className="form">
        <Select
          label="Of what the bots tell"
          data={[...LEVELS]}
          value={level}
          onChange={(found) => found && keep("abidance.news", found)}
          allowDeselect={false}
        />
        <Checkbox
          label="On the desktop as well, while this page is hidden"
          checked={isOnDesktop}
          disabled={!("Notification" in window) || level === "none"}
          onChange={(e) => void desktop(e.currentTarget.checked)}
          error={isRefused ? "The browser does not allow it: permit notifications for this address there." : undefined}
        />
        <p className="quiet">All of it stands under Alerts, whatever is chosen here. A page that is closed tells nothing.</p>
      </div>
    </Panel>
  );
}
