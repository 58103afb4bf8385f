/** Whether a backtest is more than luck: asked for, watched, and read check by check. */
import { Button, Progress } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { api, type Schemas } from "../client/api";
import { isBusy, useOneWork, usePolling } from "../client/work";
import { Failure, Loaded, Panel, State, Time } from "../ui/parts";
import { SHORT, useWorkPages } from "./pages";

type Verdict = Schemas["JudgementOut"];
const TONES: Record<string, string> = { pass: "done", warn: "warning", fail: "failed", skip: "skip" };

export function VerdictOf({ backtest, mayAsk }: { backtest: string; mayAsk: boolean }) {
  const queries = useQueryClient();
  const list = useWorkPages<Verdict>("/api/v1/verdicts", { kind: "verdict", query: { backtest }, size: SHORT });
  const start = api.useMutation("post", "/api/v1/verdicts", { onSuccess: () => void queries.invalidateQueries() });
  const found = list.data?.find((each) => each.backtest === backtest);
  const ask = () =>
    start.mutate({ body: { config: {}, backtest, label: "", metric: "sharpe", trials: 1, seed: 1, variants: null, permutations: null, noise: null } });
  return (
    <section className="stack" aria-label="Verdict">
      <div className="row">
        <h2>Is it more than luck?</h2>
        {mayAsk && !isBusy(found) && (
          <Button size="compact-sm" variant="light" loading={start.isPending} onClick={ask}>
            {found ? "Judge again" : "Judge it"}
          </Button>
        )}
        {found && <Progressing of={found} mayAct={mayAsk} />}
      </div>
      {start.error && <Failure error={start.error} />}
      {found && <Outcome of={found} />}
      {!found && <span className="quiet">Walk-forward, cross-validation, neighbouring settings, costs and shifted signals: each answers in a sentence. It counts as a trial.</span>}
    </section>
  );
}

/** A verdict that was named by its own id, whatever it judged: asked for as work, and read as such. */
export function OneVerdict({ id, mayAct }: { id: string; mayAct: boolean }) {
  const query = useOneWork<Verdict>("verdict", api.useQuery("get", "/api/v1/verdicts/{id}", { params: { path: { id } } }, { refetchInterval: usePolling() }));
  return (
    <Loaded query={query}>
      {(found) => (
        <Panel title={`Verdict on ${found.label || found.strategies.join(", ")}`} aside={<State of={found.state} />}>
          <p className="quiet">
            Asked for by {found.actor} <Time ms={found.created} /> · {found.instruments.join(", ")} · {found.timerange || "all there is"}
          </p>
          <div className="row">
            <Progressing of={found} mayAct={mayAct} />
          </div>
          <Outcome of={found} />
        </Panel>
      )}
    </Loaded>
  );
}

/** How far a verdict is and a way to end it; or, once it is done, the way to keep it. */
function Progressing({ of, mayAct }: { of: Verdict; mayAct: boolean }) {
  const queries = useQueryClient();
  const cancel = api.useMutation("delete", "/api/v1/verdicts/{id}", { onSuccess: () => void queries.invalidateQueries() });
  if (of.state === "done") return <a href={`/api/v1/verdicts/${of.id}/page`} download>Save as a page</a>;
  if (!isBusy(of)) return null;
  return (
    <>
      <Progress value={of.progress * 100} w={160} aria-label="Progress of the verdict" />
      {mayAct && (
        <Button size="compact-xs" variant="light" onClick={() => cancel.mutate({ params: { path: { id: of.id } } })}>
          Cancel
        </Button>
      )}
      <Failure error={cancel.error} />
    </>
  );
}

function Outcome({ of }: { of: Verdict }) {
  return (
    <>
      {of.error && <p className="down">{of.error} {of.remedy}</p>}
      {of.state === "done" && <Checks id={of.id} />}
    </>
  );
}

function Checks({ id }: { id: string }) {
  const found = api.useQuery("get", "/api/v1/verdicts/{id}/result", { params: { path: { id } } }, { staleTime: Infinity });
  return (
    <Loaded query={found}>
      {(data) => (
        <>
          <p>
            <State of={TONES[data.mark] ?? ""} label={data.mark} /> {data.sentence}
          </p>
          <ul className="checks">
            {data.checks.map((each) => (
              <li key={each.key}>
                <State of={TONES[each.mark] ?? ""} label={each.mark} />
                <span>
                  <b>{each.name}.</b> {each.sentence}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Loaded>
  );
}
