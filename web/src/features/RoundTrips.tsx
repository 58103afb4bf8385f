/** The journal of round trips: filtered, with labels and notes of one's own, and whole as CSV. */
import { Button, Drawer, Select, TagsInput, Textarea, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { useAddress, useTyped } from "../client/address";
import { api, client, placed, type Schemas } from "../client/api";
import { useValued } from "../client/valued";
import { DataTable, ROOM } from "../ui/DataTable";
import { baseOf, inUnit, pair, quoteOf, share, signedShare, sums, whole, words } from "../ui/format";
import { Export, Failure, Form, Gain, Loaded, Panel, Stat, Time } from "../ui/parts";
import { tripColumns } from "./columns";
import { mayAct } from "./may";
import { fitting, PagedTable, usePages } from "./pages";
import { PeriodFields, usePeriod } from "./Period";
import { Why } from "./Why";

type Trip = Schemas["RoundTripOut"];
const LABELS = { name: "Labels", cell: (row: Trip) => <span title={row.note}>{[...row.labels, row.note && "✎"].filter(Boolean).join(" ")}</span>, width: "minmax(52px, 1fr)" };

const tripKey = (row: Trip) => String(row.number);

export default function RoundTrips({ run, me }: { run: Run; me: Me }) {
  const [{ strategy, instrument, direction, result }, put] = useAddress("strategy", "instrument", "direction", "result");
  const { text, setText, value: label } = useTyped("label");
  const period = usePeriod();
  const [chosen, choose] = useState<Trip | null>(null);
  const wanted = { strategy, instrument, direction, result, label, ...period.query };
  const query = Object.fromEntries(Object.entries(wanted).filter((each): each is [string, string] => Boolean(each[1])));
  const closed = usePages<Trip>(`/api/v1/runs/${run.name}/round-trips`, run.run_id, tripKey, { query });
  const open = useValued("round_trips", api.useQuery("get", "/api/v1/runs/{run}/round-trips/open", { params: { path: { run: run.name } } }));
  const { at, rest } = placed(closed.error, ["strategy", "instrument", "direction", "result", "label", "start"]);
  const rows = closed.data ?? [];
  const won = rows.filter((each) => Number(each.pnl) > 0);
  const results = sums(rows, (each) => each.pnl);
  const columns = tripColumns(run);
  const isFiltered = Object.keys(query).length > 0;
  return (
    <>
      <div className="panel-head">
        <h1>Round trips</h1>
        <Export run={run.name} what="round-trips" query={query} />
      </div>
      <div className="row">
        <Select label="Strategy" placeholder="All" data={run.strategies} value={strategy} onChange={(found) => put({ strategy: found })} error={at.strategy} clearable w={150} />
        <Select label="Instrument" placeholder="All" data={run.instruments} value={instrument} onChange={(found) => put({ instrument: found })} error={at.instrument} clearable searchable w={190} />
        <Select label="Side" placeholder="Both" data={["long", "short"]} value={direction} onChange={(found) => put({ direction: found })} error={at.direction} clearable w={110} />
        <Select label="Result" placeholder="Both" data={["won", "lost"]} value={result} onChange={(found) => put({ result: found })} error={at.result} clearable w={110} />
        <TextInput label="Label" placeholder="All" value={text} onChange={(e) => setText(e.currentTarget.value)} error={at.label} w={130} />
        <PeriodFields of={period} now={run.now} flaw={at.start} label="Closed" />
      </div>
      <div className="stats">
        <Stat label={closed.isComplete ? "Closed" : "The newest so far"}>{whole(rows.length)}</Stat>
        <Stat label={closed.isComplete ? "Won" : "Won of these"}>{rows.length ? share(won.length / rows.length) : "–"}</Stat>
        {results.length === 0 && <Stat label="Result">–</Stat>}
        {results.map(([currency, result]) => (
          <Stat key={currency} label={`${closed.isComplete ? "Result" : "Of these"}, ${currency}`}>
            <Gain of={result} />
          </Stat>
        ))}
      </div>
      <Panel title="Open">
        <Loaded query={open} height={ROOM}>{(rows) => <DataTable label="Open round trips" rows={rows} columns={columns} reserved={4} keyOf={(row) => row.strategy + row.instrument} empty="Nothing is held. A round trip begins with the next entry." />}</Loaded>
      </Panel>
      <Panel title="Closed" aside={<span className="quiet">a row opens its notes</span>}>
        <PagedTable
          label="Closed round trips"
          of={fitting(closed, rest)}
          columns={[...columns.slice(0, 4), LABELS, ...columns.slice(4)]}
          keyOf={tripKey}
          onRow={choose}
          empty={isFiltered ? "No round trip fits. Take a filter away." : "No position has been closed yet."}
          height={560}
        />
      </Panel>
      <Drawer lockScroll={false} opened={chosen !== null} onClose={() => choose(null)} title={chosen ? `${pair(chosen.instrument)} ${chosen.direction}, ${chosen.strategy} of ${run.name}` : ""} position="right" size="lg">
        {chosen && <Journal key={chosen.number} run={run} me={me} of={chosen} onDone={() => choose(null)} />}
      </Drawer>
    </>
  );
}

function Journal({ run, me, of, onDone }: { run: Run; me: Me; of: Trip; onDone: () => void }) {
  const queries = useQueryClient();
  const [labels, setLabels] = useState<string[]>(of.labels);
  const [note, setNote] = useState(of.note);
  const write = api.useMutation("put", "/api/v1/runs/{run}/round-trips/{number}/note", {
    onSuccess: () => {
      void queries.resetQueries({ queryKey: [`/api/v1/runs/${run.name}/round-trips`] });
      onDone();
    },
  });
  const { at, rest } = placed(write.error, ["labels", "note"]);
  const send = () => write.mutate({ params: { path: { run: run.name, number: of.number ?? 0 } }, body: { labels, note } });
  const isReadOnly = !mayAct(me);
  return (
    <>
    <Form error={write.error} onSend={send} label="Notes">
      <dl className="facts">
        <dt>Entered</dt>
        <dd><Time ms={of.ts_entry} /> at {inUnit(of.entry_price, quoteOf(of.instrument))}</dd>
        <dt>Left</dt>
        <dd><Time ms={of.ts_exit} /> at {inUnit(of.exit_price, quoteOf(of.instrument))}, by {words(of.exit_reason).toLowerCase()}</dd>
        <dt>Result</dt>
        <dd><Gain of={of.pnl} /> {quoteOf(of.instrument)}, <Gain of={of.pnl_share} text={signedShare(of.pnl_share)} /></dd>
      </dl>
      <TagsInput label="Labels" description="Words of your own, to find it by" value={labels} onChange={(found) => setLabels(found.map((each) => each.trim().replaceAll(/\s+/g, "-")))} maxTags={16} error={at.labels} readOnly={isReadOnly} splitChars={[",", " "]} />
      <Textarea label="Note" autosize minRows={5} maxLength={4000} value={note} onChange={(e) => setNote(e.currentTarget.value)} error={at.note} readOnly={isReadOnly} />
      <Failure error={rest} />
      {!isReadOnly && (
        <Button type="submit" loading={write.isPending}>
          Keep it
        </Button>
      )}
    </Form>
    <h2 className="above">Its fills</h2>
    <FillsOf run={run} of={of} />
    </>
  );
}

/** The fills of a round trip, oldest first. */
async function fillsOf(run: string, { strategy, instrument, ts_entry: start, ts_exit: last }: Trip, signal: AbortSignal): Promise<Schemas["FillOut"][]> {
  const found: Schemas["FillOut"][] = [];
  const query = { strategy, instrument, start, end: last === null ? undefined : last + 1, limit: 500 };
  const read = (cursor: string) => client.GET("/api/v1/runs/{run}/fills", { params: { path: { run }, query: { ...query, cursor } }, signal });
  for (let cursor: string | null = ""; cursor !== null; ) {
    const { data, error }: Awaited<ReturnType<typeof read>> = await read(cursor);
    if (!data) throw error;
    found.unshift(...data.items.reverse());
    cursor = data.next ?? null;
  }
  return found;
}

function FillsOf({ run, of }: { run: Run; of: Trip }) {
  const [why, ask] = useState<string | null>(null);
  const fills = useQuery({ queryKey: ["fills of", run.run_id, of.number], queryFn: ({ signal }) => fillsOf(run.name, of, signal) });
  return (
      <Loaded query={fills}>
        {(rows) => (
          <ul className="timeline">
            {rows.map((each) => (
              <li key={each.ref}>
                <Time ms={each.ts} /> {each.side} {inUnit(each.quantity, baseOf(each.instrument))} at {inUnit(each.price, quoteOf(each.instrument))}, {words(each.purpose).toLowerCase()}{" "}
                <Button size="compact-xs" variant="light" aria-expanded={why === each.ref} onClick={() => ask(why === each.ref ? null : each.ref)}>Why?</Button>
                {why === each.ref && <Why run={run} ref={each.ref} />}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
  );
}
