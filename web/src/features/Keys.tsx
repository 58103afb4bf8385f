/** Venues, and their keys: they go in, are checked, rotated and forgotten, and are never shown. */
import { Button, PasswordInput, Select, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Me } from "../app/Shell";
import { api, codeOf, placed, type Schemas } from "../client/api";
import { DataTable } from "../ui/DataTable";
import { Dialog } from "../ui/Dialog";
import { Failure, Form, Loaded, Panel } from "../ui/parts";
import { Confirm } from "./Confirm";

type Slot = Schemas["KeySlotOut"];
type Deed = "add" | "check" | "rotate" | "remove";
const TITLES: Record<Deed, string> = { add: "Add a key", check: "Check the key of", rotate: "Replace the key of", remove: "Forget the key of" };

export function Venues({ me }: { me: Me }) {
  const venues = api.useQuery("get", "/api/v1/venues", {}, { staleTime: Number.POSITIVE_INFINITY });
  return (
    <>
      {me.role === "admin" && <Keys venues={venues.data ?? []} />}
      <Panel title="Venues" aside={<span className="quiet">any other that ccxt streams can be named as well</span>}>
        <Loaded query={venues}>
          {(rows) => (
            <DataTable
              label="Venues"
              rows={rows}
              keyOf={(row) => row.name}
              empty="There is none."
              columns={[
                { name: "Venue", cell: (row) => row.name },
                { name: "Market data", cell: (row) => row.markets.join(", ") || "through ccxt" },
                { name: "Real orders", cell: (row) => row.orders.join(", ") || "not yet" },
                { name: "A key has", cell: (row) => (row.wants_passphrase ? "key, secret, passphrase" : "key, secret"), width: "minmax(170px, 1fr)" },
              ]}
            />
          )}
        </Loaded>
      </Panel>
    </>
  );
}

function Keys({ venues }: { venues: Schemas["VenueInfoOut"][] }) {
  const [deed, begin] = useState<{ what: Deed; of?: Slot } | null>(null);
  const keys = api.useQuery("get", "/api/v1/keys");
  return (
    <Panel title="Keys" aside={<Button size="xs" onClick={() => begin({ what: "add" })}>Add a key</Button>}>
      <Loaded query={keys}>
        {(found) => (
          <>
            <DataTable
              label="Keys"
              rows={found.keys}
              keyOf={(row) => row.venue + row.account}
              empty="No key is in the vault. One is needed for real orders; make it at the venue so that it may read and trade, and nothing else."
              columns={[
                { name: "Venue", cell: (row) => row.venue },
                { name: "Account", cell: (row) => row.account },
                {
                  name: "",
                  width: "minmax(240px, 2fr)",
                  cell: (row) => (
                    <span className="row">
                      <Button size="compact-xs" variant="light" onClick={() => begin({ what: "check", of: row })}>Check</Button>
                      <Button size="compact-xs" variant="light" onClick={() => begin({ what: "rotate", of: row })}>Rotate</Button>
                      <Button size="compact-xs" variant="outline" color="red.7" onClick={() => begin({ what: "remove", of: row })}>Remove</Button>
                    </span>
                  ),
                },
              ]}
            />
            <Dialog opened={deed !== null} onClose={() => begin(null)} title={deed ? `${TITLES[deed.what]} ${deed.of ? `${deed.of.venue} ${deed.of.account}` : ""}` : ""}>
              {deed && <Deed what={deed.what} of={deed.of} state={found} venues={venues} onDone={() => begin(null)} />}
            </Dialog>
          </>
        )}
      </Loaded>
    </Panel>
  );
}

function Deed({ what, of, state, venues, onDone }: { what: Deed; of?: Slot; state: Schemas["KeysOut"]; venues: Schemas["VenueInfoOut"][]; onDone: () => void }) {
  const queries = useQueryClient();
  const [venue, setVenue] = useState(of?.venue ?? venues[0]?.name ?? "");
  const [account, setAccount] = useState(of?.account ?? "main");
  const [key, setKey] = useState("");
  const [secret, setSecret] = useState("");
  const [passphrase, setPassphrase] = useState("");
  const [vault, setVault] = useState("");
  const told = { onSuccess: () => void queries.invalidateQueries() };
  const add = api.useMutation("post", "/api/v1/keys", told);
  const rotate = api.useMutation("put", "/api/v1/keys", told);
  const check = api.useMutation("post", "/api/v1/keys/{venue}/{account}/check", told);
  const remove = api.useMutation("post", "/api/v1/keys/{venue}/{account}/remove", { onSuccess: () => { told.onSuccess(); onDone(); } });
  const now = { add, rotate, check, remove }[what];
  const params = { path: { venue, account } };
  const act = () => {
    if (what === "check") check.mutate({ params, body: { vault } });
    else if (what === "remove") remove.mutate({ params, body: { vault } });
    else (what === "add" ? add : rotate).mutate({ body: { venue, account, key, secret, passphrase, vault } });
  };
  const verdict = what === "remove" ? undefined : (now.data as Schemas["KeyOut"] | undefined);
  if (verdict) return <Verdict of={verdict} onDone={onDone} />;
  const { at, rest } = placed(now.error, ["venue", "account", "key", "secret", "passphrase", "vault"]);
  const takesKey = what === "add" || what === "rotate";
  return (
    <Form label={TITLES[what]} error={now.error} onSend={act} below={codeOf(now.error) === "confirm" && <Confirm onConfirmed={act} />}>
      {what === "add" && (
        <>
          <Select label="Venue" data={venues.map((each) => each.name)} value={venue} onChange={(found) => found && setVenue(found)} error={at.venue} allowDeselect={false} searchable />
          <TextInput label="Account" description="Your name for it" value={account} onChange={(e) => setAccount(e.currentTarget.value)} error={at.account} required />
        </>
      )}
      {takesKey && (
        <>
          <PasswordInput label="Key" value={key} onChange={(e) => setKey(e.currentTarget.value)} error={at.key} required autoComplete="off" />
          <PasswordInput label="Secret" value={secret} onChange={(e) => setSecret(e.currentTarget.value)} error={at.secret} required autoComplete="off" />
          {venues.find((each) => each.name === venue)?.wants_passphrase && <PasswordInput label="Passphrase of the key" value={passphrase} onChange={(e) => setPassphrase(e.currentTarget.value)} error={at.passphrase} required autoComplete="off" />}
        </>
      )}
      <PasswordInput
        label={state.has_vault ? "Passphrase of the vault" : "Passphrase of the new vault"}
        description={state.opens_by_itself ? "Empty: the server opens it by itself" : state.has_vault ? undefined : "At least 12 characters; without it nobody opens the vault, you neither"}
        value={vault}
        onChange={(e) => setVault(e.currentTarget.value)}
        error={at.vault}
        required={!state.opens_by_itself}
        autoComplete="off"
      />
      {takesKey && <span className="quiet">The venue is asked what the key may do. One that can withdraw money is refused.</span>}
      {codeOf(now.error) !== "confirm" && <Failure error={rest} />}
      <Button type="submit" loading={now.isPending} color={what === "remove" ? "red.9" : undefined}>
        {{ add: "Check it, then add it", rotate: "Check it, then replace the old one", check: "Ask the venue", remove: "Forget it" }[what]}
      </Button>
    </Form>
  );
}

function Verdict({ of, onDone }: { of: Schemas["KeyOut"]; onDone: () => void }) {
  return (
    <div className="form">
      <p>
        <b>{of.venue} {of.account}</b>{of.ends_in && `, the key that ends in ${of.ends_in}`}
      </p>
      {of.refused.map((each) => <p key={each} className="down">Refused: {each}</p>)}
      {of.warnings.map((each) => <p key={each} className="careful">Mind: {each}</p>)}
      {of.facts.map((each) => <p key={each}>{each}</p>)}
      <Button onClick={onDone}>Good</Button>
    </div>
  );
}
