/** Whether a backtest is more than luck: asked for, watched, and read check by check. */
import { Button, Progress } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { api, type Schemas } from "../client/api";
import { Failure, Loaded, State } from "../ui/parts";

type Verdict = Schemas["JudgementOut"];
const TONES: Record<string, string> = { pass: "done", warn: "warning", fail: "failed", skip: "skip" };
const isBusy = (of: Verdict | undefined) => of?.state === "queued" || of?.state === "running";

export function VerdictOf({ backtest, mayAsk }: { backtest: string; mayAsk: boolean }) {
  const queries = useQueryClient();
  const list = api.useQuery("get", "/api/v1/verdicts", { params: { query: { limit: 100 } } }, {
    refetchInterval: (query) => (query.state.data?.items.some(isBusy) ? 700 : 30_000),
  });
  const start = api.useMutation("post", "/api/v1/verdicts", { onSuccess: () => void queries.invalidateQueries() });
  const cancel = api.useMutation("delete", "/api/v1/verdicts/{id}", { onSuccess: () => void queries.invalidateQueries() });
  const found = list.data?.items.find((each) => each.backtest === backtest);
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
        {found && isBusy(found) && <Progress value={found.progress * 100} w={160} aria-label="Progress of the verdict" />}
        {found && isBusy(found) && mayAsk && (
          <Button size="compact-xs" variant="light" onClick={() => cancel.mutate({ params: { path: { id: found.id } } })}>
            Cancel
          </Button>
        )}
        {found?.state === "done" && (
          <a href={`/api/v1/verdicts/${found.id}/page`} download>
            Save as a page
          </a>
        )}
      </div>
      {start.error && <Failure error={start.error} />}
      {cancel.error && <Failure error={cancel.error} />}
      {found?.error && <p className="down">{found.error} {found.remedy}</p>}
      {found?.state === "done" && <Checks id={found.id} />}
      {!found && <span className="quiet">Walk-forward, cross-validation, neighbouring settings, costs and shifted signals: each answers in a sentence. It counts as a trial.</span>}
    </section>
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
