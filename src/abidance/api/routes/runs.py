"""Runs: the list, each one's standing, equity curve and notices, and the controls of a running node."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query

from abidance.api import views
from abidance.api.access import Judged, Needs, Operator, Stand, Viewer
from abidance.api.fitting import asked_as, check_parameters
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import ProblemError
from abidance.api.schemas.trading import AnswerOut, ControlIn, EquityOut, NoticeLevel, NoticeOut, RunOut
from abidance.api.schemas.wire import Page
from abidance.api.steering import steer
from abidance.engine.controls import check_circuits
from abidance.model.event import ControlAction
from abidance.security.roles import Role

router = APIRouter(prefix="/runs", tags=["runs"], route_class=Judged)


@router.get("")
async def list_runs(who: Viewer, house: Stand) -> list[RunOut]:
    """List the runs in the user directory by name."""
    house.runs.renew()
    return [views.run(each) for each in house.runs.all()]


@router.get("/{run}")
async def get_run(run: str, who: Viewer, house: Stand) -> RunOut:
    """Tell where a run stands."""
    return views.run(house.runs.get(run))


@router.get("/{run}/config")
async def get_run_config(run: str, who: Viewer, house: Stand) -> dict[str, Any]:
    """Return the resolved configuration with which a run began."""
    return house.runs.get(run).replica.header.config


@router.get("/{run}/equity")
async def get_equity(
    run: str,
    who: Viewer,
    house: Stand,
    points: Annotated[int, Query(ge=2, le=10_000)] = 1_000,
    since: Annotated[int, Query(ge=0, le=2**53, description="Milliseconds UTC.")] = 0,
) -> EquityOut:
    """Return the equity curve: the last value of each of so many equal parts, the deepest drawdown kept."""
    replica = house.runs.get(run).replica
    stamps = np.array(replica.curve[0], dtype=np.int64)
    equity, exposure, fallen = (
        np.array(each, dtype=np.float64) for each in (*replica.curve[1:], replica.line.fallen)
    )
    first = int(np.searchsorted(stamps, since * 1_000_000, side="left"))
    rows = _thinned(fallen[first:], points) + first
    return EquityOut(
        ts=(stamps[rows] // 1_000_000).tolist(),
        equity=equity[rows].tolist(),
        exposure=exposure[rows].tolist(),
        drawdown=fallen[rows].tolist(),
    )


def _thinned(
    fallen: "np.ndarray[Any, np.dtype[np.float64]]", points: int
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the rows to show: the last of each part, and where the drawdown is deepest."""
    count = len(fallen)
    if count <= points:
        return np.arange(count, dtype=np.int64)
    rows = np.linspace(0, count - 1, points - 1).round().astype(np.int64)
    return np.unique(np.append(rows, np.int64(np.argmin(fallen))))


@router.get("/{run}/notices")
async def list_notices(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 100,
    cursor: Cursor = "",
    level: Annotated[NoticeLevel | None, Query(description="Of this level alone.")] = None,
) -> Page[NoticeOut]:
    """List what people should know: breakers that tripped, strategies that failed, orders that were rejected."""
    wanted = (lambda each: each.level == level) if level else None
    return page(house.runs.get(run).replica.notices, limit, cursor, views.notice, wanted)


@router.post("/{run}/control")
async def control_run(run: str, body: ControlIn, who: Operator, house: Stand) -> AnswerOut:
    """Give a running node an order; it is recorded with your name.

    To end a halt (`release`), to accept what an account holds (`adjust`) and to close circuits (`reset_circuits`, of
    a `venue` and `part` if named) take an admin, confirmed.
    `values`: for `set_parameters` the parameters, for `set_allocation` `allocation`, for `kill` `extent` (entries, all
    or flatten). Manual orders, limits and breakers have routes of their own.

    The answer comes when the node has obeyed; what it refuses is a 409 with the reason as `code`. The orders that it
    sends are answered by their venue later: the stream tells of it. A kill of real orders is thrown before the node
    has seen it.
    """
    if body.action in _ELSEWHERE:
        told = "This has a route of its own."
        remedy = f"Use {_ELSEWHERE[body.action].format(run=run)}"
        raise ProblemError(422, told, remedy, fields={"action": f"{told} {remedy}"})
    if body.action is ControlAction.SET_PARAMETERS:
        with asked_as({"parameters.": "values."}):
            await _check_parameters(house, run, body)
    if body.action is ControlAction.SET_ALLOCATION:
        share = body.values.get("allocation")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            told = f"{share!r} is no share above 0 and up to 1."
            raise ProblemError(422, told, "Give one.", fields={"values.allocation": told})
    if body.action in (ControlAction.BORROW, ControlAction.REPAY):
        told = "Loans are asked for in a terminal of the machine that the bot runs on."
        raise ProblemError(422, told, f"Use abidance loans {body.action} {run}", fields={"action": told})
    if body.action in (ControlAction.RELEASE, ControlAction.ADJUST, ControlAction.RESET_CIRCUITS):
        Needs(Role.ADMIN, confirmed=True, steers=True).allow(house, who)
    if body.action is ControlAction.RESET_CIRCUITS:
        with asked_as({"": "values."}):
            check_circuits(house.runs.get(run).replica.state, body.values)
    return await steer(house, who, run, body.action, body.strategy, dict(body.values))


async def _check_parameters(house: House, run: str, body: ControlIn) -> None:
    """Raise UsageError for values that a strategy which is meant does not take, each by its field."""
    replica = house.runs.get(run).replica
    for name, config in replica.state.strategies.items():
        if body.strategy in ("", name):
            current = replica.parameters[name]
            await house.reading(check_parameters, config.strategy, body.values, house.strategies, current)


_ELSEWHERE = {
    ControlAction.SET_LIMITS: "PATCH /api/v1/runs/{run}/risk/limits",
    ControlAction.SET_BREAKERS: "PATCH /api/v1/runs/{run}/risk/breakers",
    ControlAction.ORDER: "POST /api/v1/runs/{run}/orders",
    ControlAction.AMEND_ORDER: "PATCH /api/v1/runs/{run}/orders/{{order_id}}",
    ControlAction.CANCEL_ORDER: "DELETE /api/v1/runs/{run}/orders/{{order_id}}",
}
"""Orders that `control` does not take, and what does."""
