/** Circuits that are not closed: which part of which venue is not relied on now, why, until when, and a way to close it. */
import { Button } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, codeOf, type Schemas } from "../client/api";
import { Dialog } from "../ui/Dialog";
import { words } from "../ui/format";
import { Empty, Failure, Panel, State, Time, Told } from "../ui/parts";
import { Confirm } from "./Confirm";

type Circuit = Schemas["CircuitOut"];
const placeOf = (of: Circuit) => `${of.venue || "every venue"}, ${of.part}`;

/** The circuits that are not closed. */
export const troubled = (risk: Schemas["RiskOut"]) => risk.circuits.filter((each) => each.state !== "closed");

/** What a circuit's state means, as a label. */
export function CircuitState({ of }: { of: Circuit }) {
  return <State of={of.state === "open" ? "halted" : "warning"} label={of.state === "open" ? "open" : "being tried"} />;
}

export function Circuits({ run, me, rows }: { run: Run; me: Me; rows: Circuit[] }) {
  const [chosen, choose] = useState<Circuit | null>(null);
  const mayAct = me.role === "admin" && run.is_running;
  return (
    <Panel title="Circuits" aside={<span className="quiet">a venue that fails again and again gets exits only</span>}>
      {rows.length === 0 ? (
        <Empty>{run.is_real ? "All are closed: every venue is relied on." : "They watch venues that get real orders; this bot sends none."}</Empty>
      ) : (
        <ul className="timeline">
          {rows.map((each) => (
            <li key={each.venue + each.part}>
              <div className="row">
                <b>{each.venue || "Every venue"}</b> {words(each.part)} <CircuitState of={each} />
                {mayAct && <Button size="compact-xs" variant="outline" color="red.7" onClick={() => choose(each)}>Close it by hand</Button>}
              </div>
              <span className="quiet">
                <Told text={each.reason} /> Since <Time ms={each.ts} />
                {each.state === "open" && <>, tried from <Time ms={each.ts + each.rest * 1_000} /> on</>}
                {each.trips > 1 && `, for the ${each.trips}th time`}.
              </span>
            </li>
          ))}
        </ul>
      )}
      <Dialog opened={chosen !== null} onClose={() => choose(null)} title={chosen ? `Close ${placeOf(chosen)} of ${run.name}?` : ""}>
        {chosen && <Closing run={run} of={chosen} onDone={() => choose(null)} />}
      </Dialog>
    </Panel>
  );
}

function Closing({ run, of, onDone }: { run: Run; of: Circuit; onDone: () => void }) {
  const control = api.useMutation("post", "/api/v1/runs/{run}/control", {
    onSuccess: (answer) => {
      notifications.show({ message: answer.notices[0]?.text ?? `${placeOf(of)}: closed, and on record.` });
      onDone();
    },
  });
  const act = () => control.mutate({ params: { path: { run: run.name } }, body: { action: "reset_circuits", strategy: "", values: { venue: of.venue, part: of.part } } });
  return (
    <div className="form">
      <p><Told text={of.reason} /></p>
      <p>It closes by itself once it is proven that all is well. Closed by hand, entries pass at once; what fails again opens it again.</p>
      {control.error && (codeOf(control.error) === "confirm" ? <Confirm onConfirmed={act} /> : <Failure error={control.error} />)}
      <Button color="red.9" loading={control.isPending} onClick={act} data-autofocus>
        Close it
      </Button>
    </div>
  );
}
