/** History from the venues into the store: asked for by a form, watched part by part. */
import { Button, Checkbox, MultiSelect, Progress, TagsInput, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Me } from "../app/Shell";
import { api, placed, type Schemas } from "../client/api";
import { isBusy } from "../client/work";
import { whole } from "../ui/format";
import { Failure, Form, Panel, State, Time } from "../ui/parts";
import { mayAct } from "./may";
import { Older, SHORT, useWorkPages } from "./pages";

type Download = Schemas["DownloadOut"];
/** Whether it is over and something of it has not come. */
const isLacking = (of: Download) => of.state === "failed" || of.state === "cancelled" || (of.parts ?? []).some((part) => !isBusy(of) && part.problem);

export function Downloads({ me }: { me: Me }) {
  const queries = useQueryClient();
  const list = useWorkPages<Download>("/api/v1/downloads", { kind: "download", size: SHORT });
  const cancel = api.useMutation("delete", "/api/v1/downloads/{id}", { onSuccess: () => void queries.invalidateQueries() });
  const again = api.useMutation("post", "/api/v1/downloads/{id}/again", { onSuccess: () => void queries.invalidateQueries() });
  const rows = list.data ?? [];
  const busy = rows.filter(isBusy).length;
  useEffect(() => {
    if (busy === 0) void queries.invalidateQueries({ queryKey: ["get", "/api/v1/data"] }); // what came is in the store
  }, [queries, busy]);
  if (!mayAct(me) && rows.length === 0) return null;
  return (
    <Panel title="Download">
      {mayAct(me) && <Start />}
      <Failure error={cancel.error ?? again.error} />
      {rows.map((each) => (
        <div key={each.id} className="backtest download">
          <div className="row">
            <span>{each.label}</span>
            <State of={each.state} />
            <span className="quiet">
              <Time ms={each.created} />
            </span>
            {isBusy(each) && <Progress value={each.progress * 100} w={160} aria-label="Progress" />}
            {mayAct(me) && isLacking(each) && (
              <Button size="compact-xs" variant="light" loading={again.isPending && again.variables.params.path.id === each.id} onClick={() => again.mutate({ params: { path: { id: each.id } } })}>
                Start it again
              </Button>
            )}
            {isBusy(each) && mayAct(me) && (
              <Button size="compact-xs" variant="light" onClick={() => cancel.mutate({ params: { path: { id: each.id } } })}>
                Cancel
              </Button>
            )}
          </div>
          {each.error && <p className="down">{each.error} {each.remedy}</p>}
          {(each.parts ?? []).map((part) => (
            <span key={part.what} className={part.problem ? "down" : "quiet"}>
              {part.what}: {part.problem || `${whole(part.added)} new`}
            </span>
          ))}
        </div>
      ))}
      <Older of={list} />
    </Panel>
  );
}

function Start() {
  const queries = useQueryClient();
  const [instruments, setInstruments] = useState<string[]>([]);
  const [timeframes, setTimeframes] = useState<string[]>(["1h"]);
  const [timerange, setTimerange] = useState("");
  const [isFunding, setFunding] = useState(false);
  const [areTrades, setTrades] = useState(false);
  const start = api.useMutation("post", "/api/v1/downloads", { onSuccess: () => void queries.invalidateQueries() });
  const { at, rest } = placed(start.error, ["instruments", "timeframes", "timerange"]);
  const send = () => start.mutate({ body: { instruments, timeframes, timerange: timerange.trim(), trades: areTrades, funding: isFunding, replace: false } });
  return (
    <Form control="download" error={start.error} onSend={send}>
      <div className="row">
        <TagsInput label="Instruments" description="BTC/USDT@KRAKEN; Enter adds one" value={instruments} onChange={setInstruments} error={at.instruments} acceptValueOnBlur maw={420} miw={240} />
        <MultiSelect label="Timeframes" searchable description="one or more" data={["1m", "5m", "15m", "1h", "4h", "1d"]} value={timeframes} onChange={setTimeframes} error={at.timeframes} maw={260} />
        <TextInput label="Time range" description="20240101-20240601; empty is 30 days" value={timerange} onChange={(e) => setTimerange(e.currentTarget.value)} error={at.timerange} w={240} />
        <Checkbox label="Funding rates" checked={isFunding} onChange={(e) => setFunding(e.currentTarget.checked)} />
        <Checkbox label="Trades" checked={areTrades} onChange={(e) => setTrades(e.currentTarget.checked)} />
        <Button type="submit" loading={start.isPending}>
          Download
        </Button>
      </div>
      <Failure error={rest} />
    </Form>
  );
}
