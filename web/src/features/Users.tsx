/** Who may come in: added, given another role or password, locked out, let in without a second factor, and removed. */
import { Button, PasswordInput, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import type { Me } from "../app/Shell";
import { api, placed, type Schemas } from "../client/api";
import { DataTable } from "../ui/DataTable";
import { Dialog } from "../ui/Dialog";
import { Form, Loaded, Panel, Time } from "../ui/parts";
import { Missing, useDone } from "./Confirm";

export const ROLES = ["viewer", "operator", "admin"];
export type Role = Schemas["Role"];
type User = Schemas["UserOut"];
type What = "password" | "factor" | "lock" | "remove";
const TITLES: Record<What, string> = { password: "Another password for", factor: "Take the second factor from", lock: "Lock out", remove: "Remove" };

export function Users({ me }: { me: Me }) {
  const [isAdding, add] = useState(false);
  const [deed, begin] = useState<{ what: What; of: User } | null>(null);
  const users = api.useQuery("get", "/api/v1/users");
  const change = api.useMutation("patch", "/api/v1/users/{name}", useDone("Done."));
  const [last, setLast] = useState<{ name: string; body: Schemas["UserChangeIn"] } | null>(null);
  const put = (name: string, body: Schemas["UserChangeIn"]) => {
    setLast({ name, body });
    change.mutate({ params: { path: { name } }, body });
  };
  return (
    <Panel title="Users" aside={<Button size="xs" onClick={() => add(true)}>Add a user</Button>}>
      {last && <Missing error={change.error} again={() => put(last.name, last.body)} />}
      <Loaded query={users}>
        {(rows) => (
          <DataTable
            label="Users"
            rows={rows}
            keyOf={(row) => row.name}
            empty="There is nobody."
            columns={[
              { name: "Name", cell: (row) => row.name },
              { name: "Role", cell: (row) => <Select aria-label={`Role of ${row.name}`} size="xs" data={ROLES} value={row.role} onChange={(v) => v && v !== row.role && put(row.name, { role: v as Role })} allowDeselect={false} />, width: "minmax(120px, 1fr)" },
              { name: "Second factor", cell: (row) => (row.has_totp ? "on" : "off"), width: "90px" },
              { name: "Last login, UTC", cell: (row) => <Time ms={row.last_login} />, width: "150px" },
              {
                name: "",
                width: "340px",
                cell: (row) => (
                  <span className="row deeds">
                    <Button size="compact-xs" variant="light" onClick={() => (row.is_active ? begin({ what: "lock", of: row }) : put(row.name, { is_active: true }))}>{row.is_active ? "Lock out" : "Let in"}</Button>
                    <Button size="compact-xs" variant="light" onClick={() => begin({ what: "password", of: row })}>Password</Button>
                    {row.has_totp && <Button size="compact-xs" variant="outline" color="red.7" onClick={() => begin({ what: "factor", of: row })}>Factor off</Button>}
                    {row.name !== me.name && <Button size="compact-xs" variant="outline" color="red.7" onClick={() => begin({ what: "remove", of: row })}>Remove</Button>}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Loaded>
      <Dialog opened={isAdding} onClose={() => add(false)} title="Add a user">
        <NewUser onDone={() => add(false)} />
      </Dialog>
      <Dialog opened={deed !== null} onClose={() => begin(null)} title={deed ? `${TITLES[deed.what]} ${deed.of.name}` : ""}>
        {deed?.what === "password" && <NewPassword of={deed.of} onDone={() => begin(null)} />}
        {deed?.what === "factor" && <NoFactor of={deed.of} onDone={() => begin(null)} />}
        {deed?.what === "lock" && <LockOut of={deed.of} onDone={() => begin(null)} />}
        {deed?.what === "remove" && <Removal of={deed.of} onDone={() => begin(null)} />}
      </Dialog>
    </Panel>
  );
}

interface Deed {
  of: User;
  onDone: () => void;
}

/** Tell that a deed is done, and close what asked for it. */
export function useClosing(text: string, onDone: () => void) {
  const done = useDone(text);
  return { onSuccess: () => { done.onSuccess(); onDone(); } };
}

function NewPassword({ of, onDone }: Deed) {
  const [password, setPassword] = useState("");
  const change = api.useMutation("patch", "/api/v1/users/{name}", useClosing(`${of.name} comes in with the new password alone.`, onDone));
  const { at, rest } = placed(change.error, ["password"]);
  const send = () => change.mutate({ params: { path: { name: of.name } }, body: { password } });
  return (
    <Form label="New password" error={change.error} onSend={send} below={<Missing error={rest} again={send} />}>
      <PasswordInput label="Password" description="At least 12 characters" autoComplete="new-password" value={password} onChange={(e) => setPassword(e.currentTarget.value)} error={at.password} required />
      <span className="quiet">The sessions and API tokens of {of.name} end with the old one.</span>
      <Button type="submit" loading={change.isPending}>Give it</Button>
    </Form>
  );
}

function NoFactor({ of, onDone }: Deed) {
  const change = api.useMutation("patch", "/api/v1/users/{name}", useClosing(`${of.name} comes in by the password alone.`, onDone));
  const act = () => change.mutate({ params: { path: { name: of.name } }, body: { reset_totp: true } });
  return (
    <Sure error={change.error} isBusy={change.isPending} onAct={act} label="Take it away">
      Do it when the phone of {of.name} is lost. Until another one is set up the password is enough; sessions and API tokens end.
    </Sure>
  );
}

function LockOut({ of, onDone }: Deed) {
  const change = api.useMutation("patch", "/api/v1/users/{name}", useClosing(`${of.name} is locked out.`, onDone));
  const act = () => change.mutate({ params: { path: { name: of.name } }, body: { is_active: false } });
  return (
    <Sure error={change.error} isBusy={change.isPending} onAct={act} label="Lock this user out">
      {of.name} cannot come in until let in again; sessions and API tokens open nothing. Bots go on.
    </Sure>
  );
}

function Removal({ of, onDone }: Deed) {
  const remove = api.useMutation("delete", "/api/v1/users/{name}", useClosing(`${of.name} is removed.`, onDone));
  const act = () => remove.mutate({ params: { path: { name: of.name } } });
  return (
    <Sure error={remove.error} isBusy={remove.isPending} onAct={act} label="Remove this user">
      All sessions and API tokens of {of.name} end. What {of.name} did stays in the audit log; bots go on.
    </Sure>
  );
}

/** What asks once before it acts. */
export function Sure({ error, isBusy, onAct, label, children }: { error: unknown; isBusy: boolean; onAct: () => void; label: string; children: React.ReactNode }) {
  return (
    <div className="form">
      <p>{children}</p>
      <Missing error={error} again={onAct} />
      <Button color="red.9" loading={isBusy} onClick={onAct} data-autofocus>{label}</Button>
    </div>
  );
}

function NewUser({ onDone }: { onDone: () => void }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const add = api.useMutation("post", "/api/v1/users", useClosing("The user may log in.", onDone));
  const { at, rest } = placed(add.error, ["name", "password", "role"]);
  const send = () => add.mutate({ body: { name, password, role } });
  return (
    <Form error={add.error} onSend={send} below={<Missing error={rest} again={send} />}>
      <TextInput label="Name" value={name} onChange={(e) => setName(e.currentTarget.value)} error={at.name} required />
      <PasswordInput label="Password" description="At least 12 characters" value={password} onChange={(e) => setPassword(e.currentTarget.value)} error={at.password} required />
      <Select label="Role" data={ROLES} value={role} onChange={(v) => v && setRole(v as Role)} error={at.role} allowDeselect={false} />
      <Button type="submit" loading={add.isPending}>Add</Button>
    </Form>
  );
}
