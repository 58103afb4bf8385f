/** Who may come in and how: my password and second factor, sessions, tokens, and what everybody did. */
import { Button, Checkbox, Drawer, MultiSelect, PasswordInput, SegmentedControl, Select, Tabs, TextInput, useMantineColorScheme } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, placed, type Schemas } from "../client/api";
import { useOnce } from "../client/once";
import { DataTable } from "../ui/DataTable";
import { Dialog } from "../ui/Dialog";
import { typed } from "../ui/format";
import { NumberField } from "../ui/NumberField";
import { Facts, Failure, Form, Loaded, Panel, State, Time, written } from "../ui/parts";
import { useReach } from "../ui/reach";
import { Configuration } from "./Configuration";
import { Missing, useDone } from "./Confirm";
import { Venues } from "./Keys";
import { NewsSettings } from "./News";
import { PagedTable, usePages } from "./pages";
import { type Role, ROLES, Sure, useClosing, Users } from "./Users";

/** Needed by few, and once. */
const Picture = lazy(() => import("./Picture"));

export default function Settings({ run, me }: { run?: Run; me: Me }) {
  const appearance = useReach<HTMLButtonElement>("appearance");
  return (
    <>
      <h1>Settings</h1>
      {me.demo && (
        <Panel>
          This is the demo: nobody logs in, and only this machine can come in. With <code>abidance serve</code> there are users, roles, tokens, keys and a second factor here.
        </Panel>
      )}
      <Tabs defaultValue={me.demo ? "appearance" : "me"} keepMounted={false}>
        <Tabs.List>
          {!me.demo && (
            <>
              <Tabs.Tab value="me">Me</Tabs.Tab>
              <Tabs.Tab value="sessions">Sessions</Tabs.Tab>
              <Tabs.Tab value="tokens">API tokens</Tabs.Tab>
            </>
          )}
          <Tabs.Tab value="venues">{me.role === "admin" ? "Venues and keys" : "Venues"}</Tabs.Tab>
          {me.role === "admin" && <Tabs.Tab value="users">Users</Tabs.Tab>}
          {me.role === "admin" && <Tabs.Tab value="audit">Audit</Tabs.Tab>}
          <Tabs.Tab value="configuration">Configuration</Tabs.Tab>
          <Tabs.Tab value="notifications">Notifications</Tabs.Tab>
          <Tabs.Tab value="appearance" ref={appearance}>Appearance</Tabs.Tab>
          <Tabs.Tab value="about">About</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="me" pt="sm"><Mine me={me} /></Tabs.Panel>
        <Tabs.Panel value="sessions" pt="sm"><Sessions /></Tabs.Panel>
        <Tabs.Panel value="tokens" pt="sm"><div className="stack"><Tokens /></div></Tabs.Panel>
        <Tabs.Panel value="venues" pt="sm"><div className="stack"><Venues me={me} /></div></Tabs.Panel>
        <Tabs.Panel value="users" pt="sm"><Users me={me} /></Tabs.Panel>
        <Tabs.Panel value="audit" pt="sm"><Audit /></Tabs.Panel>
        <Tabs.Panel value="configuration" pt="sm"><Configuration run={run} /></Tabs.Panel>
        <Tabs.Panel value="notifications" pt="sm"><NewsSettings /></Tabs.Panel>
        <Tabs.Panel value="appearance" pt="sm"><Appearance /></Tabs.Panel>
        <Tabs.Panel value="about" pt="sm"><About me={me} /></Tabs.Panel>
      </Tabs>
    </>
  );
}

function Appearance() {
  const { colorScheme, setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  return (
    <Panel title="Colours">
      <SegmentedControl
        aria-label="Colours"
        data={[{ value: "dark", label: "Dark" }, { value: "light", label: "Light" }, { value: "auto", label: "As the system" }]}
        value={colorScheme}
        onChange={(found) => setColorScheme(found as "dark" | "light" | "auto")}
      />
    </Panel>
  );
}

function Mine({ me }: { me: Me }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const change = api.useMutation("put", "/api/v1/session/password", useDone("Your password is changed."));
  const begin = api.useMutation("post", "/api/v1/session/totp");
  const [codes, hold] = useOnce<string[]>("recovery codes");
  const isOn = useDone("The second factor is on.");
  const finish = api.useMutation("put", "/api/v1/session/totp", { onSuccess: (found) => { hold(found.codes); isOn.onSuccess(); } });
  const remove = api.useMutation("delete", "/api/v1/session/totp", useDone("The second factor is off."));
  const [keepTokens, setKeepTokens] = useState(false);
  const save = () => change.mutate({ body: { password, keep_tokens: keepTokens } });
  const flaw = { change: placed(change.error, ["password"]), finish: placed(finish.error, ["code"]) };
  const keep = () => {
    hold(null);
    finish.reset();
    begin.reset(); // another second factor has another secret
    setCode("");
  };
  return (
    <div className="two">
      <Panel title="Password">
        <Form error={change.error} onSend={save} below={<Missing error={flaw.change.rest} again={save} />}>
          <PasswordInput label="New password" description="At least 12 characters" autoComplete="new-password" value={password} onChange={(e) => setPassword(e.currentTarget.value)} error={flaw.change.at.password} required />
          <Checkbox label="Let my API tokens go on" description="Else they end with the old password, as other sessions do" checked={keepTokens} onChange={(e) => setKeepTokens(e.currentTarget.checked)} />
          <Button type="submit" loading={change.isPending}>Change it</Button>
        </Form>
      </Panel>
      <Panel title="Second factor" aside={<State of={me.has_totp ? "active" : "stopped"} label={me.has_totp ? "on" : "off"} />}>
        {codes ? (
          <div className="form">
            <p>Recovery codes, each good for once. Keep them elsewhere: nobody can show them again.</p>
            <ul className="codes" aria-label="Recovery codes">
              {codes.map((each) => <li key={each}><code>{each}</code></li>)}
            </ul>
            <Button onClick={keep}>I have kept them</Button>
          </div>
        ) : me.has_totp ? (
          <div className="form">
            <Missing error={remove.error} again={() => remove.mutate({})} />
            <Button variant="outline" color="red.7" onClick={() => remove.mutate({})}>Turn it off</Button>
          </div>
        ) : begin.data ? (
          <Form error={finish.error} onSend={() => finish.mutate({ body: { code } })}>
            <p>Let your authenticator read this picture, or put the secret into it; then type the code that it shows.</p>
            <div className="qr"><Suspense><Picture of={begin.data.uri} /></Suspense></div>
            <code>{begin.data.secret}</code>
            <TextInput label="Code" inputMode="numeric" value={code} onChange={(e) => setCode(e.currentTarget.value)} error={flaw.finish.at.code} required />
            <Failure error={flaw.finish.rest} />
            <Button type="submit" loading={finish.isPending}>Turn it on</Button>
          </Form>
        ) : (
          <div className="form">
            <p className="quiet">A code from your phone besides the password.</p>
            <Missing error={begin.error} again={() => begin.mutate({})} />
            <Button variant="light" onClick={() => begin.mutate({})}>Set it up</Button>
          </div>
        )}
      </Panel>
    </div>
  );
}

function Sessions() {
  const sessions = api.useQuery("get", "/api/v1/sessions");
  const [ended, consider] = useState<Schemas["SessionOut"] | null>(null);
  return (
    <Panel title="Who is logged in">
      <Dialog opened={ended !== null} onClose={() => consider(null)} title={`End a session of ${ended?.user}?`}>
        {ended && <EndSession of={ended} onDone={() => consider(null)} />}
      </Dialog>
      <Loaded query={sessions}>
        {(rows) => (
          <DataTable
            label="Sessions"
            rows={rows}
            keyOf={(row) => row.id}
            empty="Nobody is logged in."
            columns={[
              { name: "User", cell: (row) => row.user },
              { name: "From", cell: (row) => row.address },
              { name: "Browser", cell: (row) => row.agent, width: "minmax(160px, 2fr)" },
              { name: "Last seen, UTC", cell: (row) => <Time ms={row.seen} />, width: "150px" },
              { name: "", cell: (row) => (row.is_mine ? "this one" : <Button size="compact-xs" variant="outline" color="red.7" onClick={() => consider(row)}>End</Button>) },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}

function EndSession({ of, onDone }: { of: Schemas["SessionOut"]; onDone: () => void }) {
  const end = api.useMutation("delete", "/api/v1/sessions/{id}", useClosing("That session is over.", onDone));
  return (
    <Sure error={end.error} isBusy={end.isPending} onAct={() => end.mutate({ params: { path: { id: of.id } } })} label="End it">
      Whoever uses it, from {of.address}, has to log in again.
    </Sure>
  );
}

function EndToken({ of, onDone }: { of: Schemas["TokenOut"]; onDone: () => void }) {
  const end = api.useMutation("delete", "/api/v1/tokens/{id}", useClosing("The token opens nothing any more.", onDone));
  return (
    <Sure error={end.error} isBusy={end.isPending} onAct={() => end.mutate({ params: { path: { id: of.id } } })} label="End it">
      Programs of {of.user} that come in with it are turned away from now on; it cannot be had back.
    </Sure>
  );
}

const SCOPES = ["read", "trade", "research", "metrics", "manage"];
type Scope = Schemas["Scope"];

function Tokens() {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [days, setDays] = useState<number | string>(90);
  const [addresses, setAddresses] = useState("");
  const [scopes, setScopes] = useState<Scope[]>([]);
  const tokens = api.useQuery("get", "/api/v1/tokens");
  const [secret, hold] = useOnce<string>("token");
  const isMade = useDone("The token is made.");
  const make = api.useMutation("post", "/api/v1/tokens", { onSuccess: (found) => { hold(found.secret); isMade.onSuccess(); } });
  const [ended, consider] = useState<Schemas["TokenOut"] | null>(null);
  const { at, rest } = placed(make.error, ["name", "role", "days", "addresses", "scopes"]);
  const send = () => make.mutate({ body: { name, role, days: typed(days), addresses: addresses.split(/[\s,]+/).filter(Boolean), scopes } });
  return (
    <>
      <Panel title="New token" aside={<span className="quiet">for programs: it is shown once</span>}>
        <Form className="row" error={make.error} onSend={send} below={<Missing error={rest} again={send} />}>
          <TextInput label="Name" value={name} onChange={(e) => setName(e.currentTarget.value)} error={at.name} required />
          <Select label="Role" data={ROLES} value={role} onChange={(v) => v && setRole(v as Role)} error={at.role} allowDeselect={false} w={130} />
          <MultiSelect label="Only for" placeholder={scopes.length ? "" : "all that the role may"} data={SCOPES} value={scopes} onChange={(v) => setScopes(v as Scope[])} error={at.scopes} w={240} />
          <NumberField label="Days" value={days} onChange={setDays} error={at.days} w={100} />
          <TextInput label="Only from" placeholder="any address" value={addresses} onChange={(e) => setAddresses(e.currentTarget.value)} error={at.addresses} />
          <Button type="submit" loading={make.isPending}>Make it</Button>
        </Form>
        {secret && (
          <div className="row">
            <span>Keep it now, it is not shown again: <code>{secret}</code></span>
            <Button size="compact-sm" variant="light" onClick={() => hold(null)}>I have kept it</Button>
          </div>
        )}
      </Panel>
      <Panel title="Tokens">
        <Dialog opened={ended !== null} onClose={() => consider(null)} title={`End the token ${ended?.name}?`}>
          {ended && <EndToken of={ended} onDone={() => consider(null)} />}
        </Dialog>
        <Loaded query={tokens}>
          {(rows) => (
            <DataTable
              label="Tokens"
              rows={rows}
              keyOf={(row) => row.id}
              empty="There is no token. Make one above for a program that reads or steers over the API."
              columns={[
                { name: "Name", cell: (row) => row.name },
                { name: "User", cell: (row) => row.user },
                { name: "Role", cell: (row) => row.role },
                { name: "Only for", cell: (row) => row.scopes.join(", ") || "all of it" },
                { name: "Only from", cell: (row) => row.addresses.join(", ") || "anywhere" },
                { name: "Until, UTC", cell: (row) => <Time ms={row.expires} />, width: "150px" },
                { name: "Last used, UTC", cell: (row) => <Time ms={row.last_used} />, width: "150px" },
                { name: "", cell: (row) => <Button size="compact-xs" variant="outline" color="red.7" onClick={() => consider(row)}>End</Button> },
              ]}
            />
          )}
        </Loaded>
      </Panel>
    </>
  );
}

const lineKey = (row: Schemas["AuditOut"]) => String(row.seq);

function Audit() {
  const rows = usePages<Schemas["AuditOut"]>("/api/v1/audit", "", lineKey);
  const state = api.useQuery("get", "/api/v1/audit/verify");
  const [chosen, choose] = useState<Schemas["AuditOut"] | null>(null);
  return (
    <Panel title="What everybody did" aside={<Loaded query={state}>{(found) => <State of={found.is_whole ? "certified" : "failed"} label={found.is_whole ? `${found.lines} lines, unbroken` : found.problem} />}</Loaded>}>
      <PagedTable
        label="Audit"
        of={rows}
        keyOf={lineKey}
       
        onRow={choose}
        empty="Nothing was done yet."
        height={560}
        columns={[
          { name: "UTC", cell: (row) => <Time ms={row.ts} />, width: "150px" },
          { name: "Who", cell: (row) => row.actor },
          { name: "From", cell: (row) => row.address },
          { name: "Did", cell: (row) => row.action },
          { name: "To", cell: (row) => row.target },
          { name: "With", cell: (row) => <span title={JSON.stringify(row.data)}>{written(row.data) || "–"}</span>, width: "minmax(180px, 3fr)" },
        ]}
      />
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => choose(null)} title={chosen?.action} position="right" size="lg">
        {chosen && <Facts of={{ time_UTC: <Time ms={chosen.ts} />, who: chosen.actor, from: chosen.address, did: chosen.action, to: chosen.target, ...chosen.data }} />}
      </Drawer>
    </Panel>
  );
}

function About({ me }: { me: Me }) {
  return (
    <Panel title="About">
      <p>Abidance {me.version}. The API is described at <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p>
      <p className="quiet">Candles are drawn by TradingView Lightweight Charts™, Copyright © 2025 TradingView, Inc., <a href="https://www.tradingview.com/" rel="noreferrer" target="_blank">tradingview.com</a>.</p>
    </Panel>
  );
}
