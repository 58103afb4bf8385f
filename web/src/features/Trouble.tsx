/** What is not known: a run whose record is not read on, and runs of which nothing can be read. Old figures say so. */
import { Alert } from "@mantine/core";
import type { Me, Run } from "../app/Shell";
import { api } from "../client/api";
import { Time } from "../ui/parts";
import { KillSwitch } from "./KillSwitch";

/** Whether what is shown of a run is what its bot has done until now. */
export const isFresh = (run: Run | undefined) => !run || (run.is_current && !run.problem);

export function Trouble({ run, me }: { run: Run | undefined; me: Me }) {
  const unread = api.useQuery("get", "/api/v1/unreadable-runs", {}, { refetchInterval: 5_000 });
  return (
    <>
      {run && !isFresh(run) && (
        <Alert color="red" variant="light" mb="sm" role="alert" title={run.problem ? `The record of ${run.name} is not read on: what is shown is old.` : `The record of ${run.name} is being read: what is shown is old.`}>
          It is as of <Time ms={run.now} />. {run.problem} {run.is_running && "The bot may trade on meanwhile."}
        </Alert>
      )}
      {unread.data?.map((each) => (
        <Alert key={each.name} color="red" variant="light" mb="sm" role="alert" title={`The record of ${each.name} cannot be read: what it does is not known here.`}>
          <span className="row">
            <span>
              {each.problem} {each.is_running ? "Its process answers." : "No process answers."} {each.killed && "Its kill switch is thrown."}
            </span>
            <KillSwitch run={{ name: each.name, is_running: each.is_running, is_real: true, killed: "", standing: { state: "active" } }} me={me} />
          </span>
        </Alert>
      ))}
    </>
  );
}
