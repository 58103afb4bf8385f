/** The kill switch: one press to see what it does, one to throw it; releasing asks for the password again. */
import { Button, Checkbox, Modal } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import type { Me, Run } from "../app/Shell";
import { api, codeOf } from "../client/api";
import { Failure } from "../ui/parts";
import { Confirm } from "./Confirm";

export function KillSwitch({ run, me }: { run: Run; me: Me }) {
  const [isOpen, open] = useState(false);
  const [flatten, setFlatten] = useState(false);
  const isHalted = run.standing.state === "halted";
  const control = api.useMutation("post", "/api/v1/runs/{run}/control", {
    onSuccess: () => {
      open(false);
      notifications.show({ message: isHalted ? `${run.name} may enter again.` : `${run.name} is halted.` });
    },
  });
  if (me.role === "viewer" || !run.is_running) return null;
  const act = () =>
    control.mutate({
      params: { path: { run: run.name } },
      body: isHalted ? { action: "release" } : { action: "kill", values: { flatten } },
    });
  return (
    <>
      <Button size="xs" color="red.9" variant={isHalted ? "outline" : "filled"} onClick={() => open(true)}>
        {isHalted ? "Release" : "Kill"}
      </Button>
      <Modal lockScroll={false} opened={isOpen} onClose={() => open(false)} title={isHalted ? `Release ${run.name}` : `Stop ${run.name} at once`}>
        <div className="form">
          {isHalted ? (
            <p>{run.standing.reason || "The bot is halted."} After the release it may enter again.</p>
          ) : (
            <>
              <p>No new entry is sent, and what rests to enter is taken back. Protective stops stay. It holds over restarts until somebody releases it.</p>
              <Checkbox label="Close all positions at market as well" checked={flatten} onChange={(e) => setFlatten(e.currentTarget.checked)} />
            </>
          )}
          {control.error && (codeOf(control.error) === "confirm" ? <Confirm onConfirmed={act} /> : <Failure error={control.error} />)}
          <Button color="red.9" loading={control.isPending} onClick={act} data-autofocus>
            {isHalted ? "Release it" : flatten ? "Stop and close everything" : "Stop it"}
          </Button>
        </div>
      </Modal>
    </>
  );
}
