/** With what the bot began, setting by setting, beside what a new one would be given and from where. Read only. */
import { Checkbox, TextInput } from "@mantine/core";
import { useState } from "react";
import type { Run } from "../app/Shell";
import { api } from "../client/api";
import { type Column, DataTable } from "../ui/DataTable";
import { Loaded, Panel, written } from "../ui/parts";

interface Setting {
  name: string;
  bot?: string;
  next?: string;
  source: string;
}

/** Return settings by their names as a configuration file has them, such as `risk.limits.max_positions`. */
export function leavesOf(values: unknown, name = ""): [string, string][] {
  if (values === null || typeof values !== "object" || (Array.isArray(values) && values.every((each) => typeof each !== "object"))) return [[name, values === null ? "–" : written(values) || "–"]];
  const inside: [string, unknown][] = Array.isArray(values) ? values.map((each, at) => [`${name}[${at}]`, each]) : Object.entries(values).map(([key, each]) => [name ? `${name}.${key}` : key, each]);
  return inside.flatMap(([key, each]) => leavesOf(each, key));
}

export function Configuration({ run }: { run: Run | undefined }) {
  const [text, setText] = useState("");
  const [isOther, setOther] = useState(false);
  const next = api.useQuery("get", "/api/v1/config");
  const bot = api.useQuery("get", "/api/v1/runs/{run}/config", { params: { path: { run: run?.name ?? "" } } }, { enabled: run !== undefined });
  const data = next.data && (bot.data || !run) ? { bot: bot.data, next: next.data } : undefined;
  const both = { data, error: next.error ?? bot.error, isPending: data === undefined };
  return (
    <Panel
      title={run ? `What ${run.name} began with` : "What a new bot is given"}
      aside={
        <>
          {run && <Checkbox label="Only what differs" checked={isOther} onChange={(e) => setOther(e.currentTarget.checked)} />}
          <TextInput aria-label="Contains" placeholder="max_positions" size="xs" value={text} onChange={(e) => setText(e.currentTarget.value)} />
        </>
      }
    >
      <p className="quiet">
        {run && "Limits, breakers and parameters that were changed since stand under Risk and Strategies. "}
        Secrets are in the vault, and never here. {both.data && <>A new bot is given what stands in <code>{both.data.next.path}</code>{both.data.next.exists ? "" : ", which is not there"}.</>}
      </p>
      <Loaded query={both}>
        {(found) => {
          const rows = settingsOf(found.bot, found.next).filter((each) => (!isOther || each.bot !== each.next) && each.name.includes(text.trim()));
          const columns: Column<Setting>[] = [
            { name: "Setting", cell: (row) => <code title={row.name}>{row.name}</code>, width: "minmax(241px, 2fr)" },
            ...(run ? [{ name: run.name, cell: (row: Setting) => <span title={row.bot}>{row.bot ?? "not set"}</span>, width: "minmax(120px, 1.5fr)" }] : []),
            { name: "A new bot", cell: (row) => <span title={row.next}>{row.next ?? "not set"}</span>, width: "minmax(120px, 1.5fr)" },
            { name: "Given by", cell: (row) => <span title={row.source}>{row.source}</span>, width: "minmax(120px, 1.5fr)" },
          ];
          return <DataTable label="Configuration" rows={rows} keyOf={(row) => row.name} columns={columns} height={640} empty="No setting fits. Take a filter away." />;
        }}
      </Loaded>
    </Panel>
  );
}

/** Return settings with what they are counted in: a wallet has the currency that stands beside it. */
function countedOf(values: unknown): Map<string, string> {
  const found = new Map(leavesOf(values));
  for (const [name, value] of found) if (name.split(".")[0] === "dry_run_wallet") found.set(name, `${value} ${found.get("currency")}`);
  return found;
}

function settingsOf(bot: unknown, next: { values: unknown; sources: Record<string, string> }): Setting[] {
  const [ours, theirs] = [bot ? countedOf(bot) : new Map<string, string>(), countedOf(next.values)];
  const names = [...new Set([...ours.keys(), ...theirs.keys()])].sort();
  return names.map((name) => ({ name, bot: ours.get(name), next: theirs.get(name), source: theirs.has(name) ? (next.sources[name] ?? "the default") : "–" }));
}
