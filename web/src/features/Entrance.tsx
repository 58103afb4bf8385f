/** Logging in, and the very first start, when the first admin is made with the token that the terminal shows. */
import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, placed, type Schemas } from "../client/api";
import { ME } from "../client/me";
import { Failure, Form, Loaded, Panel } from "../ui/parts";

/** How long a setup token is good and what follows, in the words of the terminal. */
const GOOD = "It is good once, and as long as this server runs: the next start shows another. After that, log in with your name and password.";

/** `last` is who was put out. */
export function Entrance({ last }: { last?: string }) {
  const setup = api.useQuery("get", "/api/v1/setup");
  return (
    <main className="entrance">
      {last && <p role="status">Your session is over. Log in again; the bots go on, and what you typed is kept.</p>}
      <Loaded query={setup}>{(found) => (found.needed ? <First /> : <LogIn last={last} />)}</Loaded>
    </main>
  );
}

function useEntered(last?: string) {
  const queries = useQueryClient();
  const onSuccess = (found: Schemas["MeOut"]) => {
    if (found.name !== last) return queries.resetQueries();
    queries.setQueryData(ME, found); // all that is shown stays until it is read anew
    return queries.invalidateQueries();
  };
  return { onSuccess };
}

function LogIn({ last }: { last?: string }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const enter = api.useMutation("post", "/api/v1/session", useEntered(last));
  const { at, rest } = placed(enter.error, ["name", "password", "code"]);
  return (
    <Panel title={<h1>Log in</h1>}>
      <Form error={enter.error} onSend={() => enter.mutate({ body: { name, password, code } })}>
        <TextInput label="Name" autoComplete="username" value={name} onChange={(e) => setName(e.currentTarget.value)} error={at.name} required autoFocus />
        <PasswordInput label="Password" autoComplete="current-password" value={password} onChange={(e) => setPassword(e.currentTarget.value)} error={at.password} required />
        <TextInput
          label="Code of your authenticator"
          description="Only if you set one up"
          autoComplete="one-time-code"
          inputMode="numeric"
          value={code}
          onChange={(e) => setCode(e.currentTarget.value)}
          error={at.code}
        />
        <Failure error={rest} />
        <Button type="submit" loading={enter.isPending}>
          Log in
        </Button>
      </Form>
    </Panel>
  );
}

function First() {
  const [token, setToken] = useState("");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const make = api.useMutation("post", "/api/v1/setup", useEntered());
  const { at, rest } = placed(make.error, ["token", "name", "password"]);
  return (
    <Panel title={<h1>Make the first admin</h1>}>
      <p className="quiet">The terminal in which Abidance was started shows a token. {GOOD}</p>
      <Form error={make.error} onSend={() => make.mutate({ body: { token: token.trim(), name, password } })}>
        <TextInput label="Token" value={token} onChange={(e) => setToken(e.currentTarget.value)} error={at.token} required autoFocus />
        <TextInput label="Your name" autoComplete="username" value={name} onChange={(e) => setName(e.currentTarget.value)} error={at.name} required />
        <PasswordInput label="Password" description="At least 12 characters" autoComplete="new-password" value={password} onChange={(e) => setPassword(e.currentTarget.value)} error={at.password} required />
        <Failure error={rest} />
        <Button type="submit" loading={make.isPending}>
          Make the admin and log in
        </Button>
      </Form>
    </Panel>
  );
}
