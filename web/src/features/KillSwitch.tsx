/**
 * The kill switch: one press to see what it does, one to throw it; releasing asks for the password again. What a dialog
 * does is fixed when it is opened, whatever becomes of the bot meanwhile.
 */
import { Button, Checkbox } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import type { Me, Run as Whole } from "../app/Shell";
import { api, codeOf, type Schemas } from "../client/api";
import { Dialog } from "../ui/Dialog";
import { Failure } from "../ui/parts";
import { Act } from "../ui/reach";
import { Confirm } from "./Confirm";
import { isHalted, mayKill } from "./may";

type Run = Pick<Whole, "name" | "is_running" | "is_real" | "killed" | "standing">;

interface Deed {
  action: "kill" | "release";
  /** Whether the bot was halted, and why, when the dialog was opened. */
  isHalted: boolean;
  reason: string;
}

/** Give it the run's name as key: a dialog about one run must not become one about another. */
export function KillSwitch({ run, me }: { run: Run; me: Me }) {
  const [deed, intend] = useState<Deed | null>(null);
  if (!mayKill(me, run)) return null;
  const wasHalted = isHalted(run);
  const begin = (action: Deed["action"]) => intend({ action, isHalted: wasHalted, reason: run.standing.reason ?? "" });
  return (
    <>
      {wasHalted && (
        <Act control={`release ${run.name}`} size="xs" color="red.9" variant="outline" onClick={() => begin("release")}>
          Release
        </Act>
      )}
      <Act control={`kill ${run.name}`} size="xs" color="red.9" onClick={() => begin("kill")}>
        Kill
      </Act>
      {deed && <Ask key={deed.action} run={run} deed={deed} onDone={() => intend(null)} />}
    </>
  );
}

function Ask({ run, deed, onDone }: { run: Run; deed: Deed; onDone: () => void }) {
  const isKill = deed.action === "kill";
  const [flatten, setFlatten] = useState(deed.isHalted);
  const control = api.useMutation("post", "/api/v1/runs/{run}/control", {
    onSuccess: (answer) => {
      onDone();
      notifications.show({ message: toldOf(run, isKill, answer), color: answer.refusals.length > 0 ? "red" : undefined });
    },
  });
  const act = () =>
    control.mutate({
      params: { path: { run: run.name } },
      body: isKill ? { action: "kill", values: { flatten } } : { action: "release" },
    });
  const hasChanged = !control.isPending && (run.standing.reason ?? "") !== deed.reason;
  return (
    <Dialog opened onClose={onDone} title={isKill ? `Stop ${run.name} at once` : `Release ${run.name}`}>
      <div className="form">
        {isKill ? (
          <>
            {deed.isHalted && <p>{deed.reason || "The bot is halted."} You can still close what it holds.</p>}
            {!deed.isHalted && hasChanged && <p role="status">Meanwhile: {run.standing.reason || "it may enter again."} Stopping it is still possible.</p>}
            <p>No new entry is sent, and what rests to enter is taken back. Protective stops stay. It holds over restarts until somebody releases it.</p>
            {!run.is_running && <p>Its process does not answer now: it is stopped as soon as it looks, or before it trades again.</p>}
            <Checkbox label="Close all positions at market as well" checked={flatten} onChange={(e) => setFlatten(e.currentTarget.checked)} />
          </>
        ) : hasChanged ? (
          <p role="status">The bot stands otherwise now: {run.standing.reason || "it is halted no more."} Close this and look again.</p>
        ) : (
          <p>{deed.reason || "The bot is halted."} After the release it may enter again.</p>
        )}
        {control.error && (codeOf(control.error) === "confirm" ? <Confirm onConfirmed={act} /> : <Failure error={control.error} />)}
        <Button color="red.9" loading={control.isPending} disabled={!isKill && hasChanged} onClick={act} data-autofocus>
          {isKill ? (flatten ? "Stop and close everything" : "Stop it") : "Release it"}
        </Button>
      </div>
    </Dialog>
  );
}

/** What really happened, as the answer has it. */
function toldOf(run: Run, isKill: boolean, answer: Schemas["AnswerOut"]): string {
  const refused = answer.refusals.map((each) => each.reason).join(" ");
  const done = run.is_real ? answer.notices.map((each) => each.text).join(" ") : isKill ? `${run.name} is halted.` : `${run.name} may enter again.`;
  return refused ? `${done} Not everything could be done: ${refused}` : done;
}
