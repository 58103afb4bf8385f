/** What somebody is offered to do, of a run as it stands now: the pages and the palette ask here. Whether it is done, the server says. */
import type { Me, Run } from "../app/Shell";
import type { Schemas } from "../client/api";

type Status = Schemas["RunStrategyOut"]["status"];
type Standing = Pick<Run, "is_running" | "is_real" | "killed" | "standing">;

export const mayAct = (me: Me) => me.role !== "viewer";
export const maySteer = (me: Me, run: Pick<Run, "is_running">) => mayAct(me) && run.is_running;
export const mayRule = (me: Me, run: Pick<Run, "is_running">) => (me.role === "admin" || me.demo) && run.is_running;
/** Real orders are stopped by a switch that needs no process; a bot on paper only trades while one answers. */
export const mayKill = (me: Me, run: Standing) => mayAct(me) && (run.is_running || run.is_real);
export const isHalted = (run: Standing) => run.standing.state === "halted" || run.killed !== "";

/** What a strategy is told, and where it has to stand for that. */
const STEPS: { to: Status; name: string; from: Status[]; isGrave?: boolean }[] = [
  { to: "active", name: "Start", from: ["paused", "stopped"] },
  { to: "paused", name: "Pause entries", from: ["active"] },
  { to: "stopped", name: "Stop", from: ["active", "paused"], isGrave: true },
];
export const stepsOf = (status: Status) => STEPS.filter((each) => each.from.includes(status));
