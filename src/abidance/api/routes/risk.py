"""Where risk stands, what it refused, and limits and breakers that change while a bot runs."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from abidance.api import views
from abidance.api.access import Grave, Identity, Judged, Stand, Viewer
from abidance.api.house import House
from abidance.api.naming import replica_with
from abidance.api.paging import ByHand, Cursor, Limit, Purposes, page
from abidance.api.problems import ProblemError
from abidance.api.schemas.trading import AnswerOut, BreakersIn, CircuitsIn, LimitsIn, RefusalOut, RiskOut
from abidance.api.schemas.wire import Page
from abidance.api.steering import steer
from abidance.engine.controls import check_circuits
from abidance.engine.manual import MANUAL_TAG
from abidance.model.event import ControlAction
from abidance.model.order import Purpose
from abidance.model.outcome import RefusalCode, Refused
from abidance.risk.limiting import OFF, G, changed, loosened

router = APIRouter(prefix="/runs/{run}", tags=["risk"], route_class=Judged)


@router.get("/risk")
async def get_risk(run: str, who: Viewer, house: Stand) -> RiskOut:
    """Tell the trading state, how much of each limit is used, breakers, feeds and accounts."""
    return views.risk(house.runs.get(run).replica)


@router.patch("/risk/limits")
async def change_limits(run: str, body: LimitsIn, who: Grave, house: Stand) -> AnswerOut:
    """Change limits of a running node, for its next order on. What lets more risk in must say `loosen`."""
    limits = house.runs.get(run).replica.limits
    return await _change(house, who, run, ControlAction.SET_LIMITS, limits, body)


@router.patch("/risk/breakers")
async def change_breakers(run: str, body: BreakersIn, who: Grave, house: Stand) -> AnswerOut:
    """Change breakers of a running node, from now on; what has tripped stays. What lets more risk in says `loosen`."""
    breakers = house.runs.get(run).replica.breakers.config
    return await _change(house, who, run, ControlAction.SET_BREAKERS, breakers, body)


@router.post("/risk/circuits/reset")
async def reset_circuits(run: str, body: CircuitsIn, who: Grave, house: Stand) -> AnswerOut:
    """Close circuits of a running node by hand, as `abidance circuits NAME --reset` does."""
    values = {"venue": body.venue.upper(), "part": body.part or ""}
    check_circuits(house.runs.get(run).replica.state, values)
    return await steer(house, who, run, ControlAction.RESET_CIRCUITS, "", values)


async def _change(
    house: House, who: Identity, run: str, action: ControlAction, guards: G, body: LimitsIn | BreakersIn
) -> AnswerOut:
    wished: dict[str, Any] = {
        name: OFF if value is None else value
        for name, value in body.model_dump(exclude={"loosen"}, exclude_unset=True).items()
    }
    looser = loosened(guards, changed(guards, wished))
    if looser and not body.loosen:
        raise ProblemError(
            409,
            f"This lets more risk in: {', '.join(looser)}.",
            "Send it again with `loosen` if you mean it.",
            code="loosens",
        )
    return await steer(house, who, run, action, "", wished)


@dataclass(frozen=True)
class RefusalFilter:
    """Which refusals are wanted; empty is all."""

    code: RefusalCode | None = None
    strategy: str = ""
    purposes: frozenset[Purpose] = frozenset()
    by_hand: bool | None = None

    def takes(self, row: tuple[int, int, Refused]) -> bool:
        """Say whether a refusal is wanted."""
        refused = row[2]
        return (
            self.code in (None, refused.code)
            and self.strategy in ("", refused.request.strategy)
            and (not self.purposes or refused.request.purpose in self.purposes)
            and self.by_hand in (None, refused.request.tag == MANUAL_TAG)
        )


async def _filter(
    code: Annotated[RefusalCode | None, Query()] = None,
    strategy: Annotated[str, Query(max_length=128)] = "",
    purpose: Purposes = None,
    by_hand: ByHand = None,
) -> RefusalFilter:
    """Return what is asked for; on the loop, where a plain class would cost each request a thread."""
    return RefusalFilter(code, strategy, frozenset(purpose or ()), by_hand)


@router.get("/refusals")
async def list_refusals(
    run: str,
    who: Viewer,
    house: Stand,
    filter: Annotated[RefusalFilter, Depends(_filter)],
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[RefusalOut]:
    """List the orders that risk refused, newest first."""
    rows = replica_with(house, run, strategy=filter.strategy).refusals
    return page(rows, limit, cursor, views.refusal, filter.takes if filter != RefusalFilter() else None)
