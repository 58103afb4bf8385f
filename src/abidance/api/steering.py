"""Orders to running nodes: written to the audit log first, handed to the run's door, the answer told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from abidance.api.access import Identity
from abidance.api.following import Followed
from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.api.schemas.trading import AnswerOut, NoticeOut, VerdictOut
from abidance.api.schemas.wire import ms
from abidance.model.event import ControlAction
from abidance.model.outcome import RefusalCode
from abidance.run import killing
from abidance.run.door import Answer, NotRunningError, Wish, ask

T = TypeVar("T")


async def steer(
    house: House,
    who: Identity,
    run: str,
    action: ControlAction,
    strategy: str,
    values: dict[str, Any],
    id: str = "",
) -> AnswerOut:
    """Hand an order to a node and return what came of it. Raises ProblemError (409) when none runs or it refuses."""
    followed = house.runs.get(run)
    if strategy and strategy not in followed.replica.state.strategies:
        raise ProblemError(
            422, f"The run {run} has no strategy {strategy!r}.", "Name one of the run's, or none."
        )
    if action is ControlAction.KILL:
        values = {**values, "extent": _extent(values).value}
    is_real = refuse_demo(followed, who)
    told = {"strategy": strategy, "values": values, "id": id}
    house.audit.write(
        who.name, f"control.{action}", run, told, address=who.address, request_id=who.request_id
    )
    if is_real and action in _SWITCH:
        return _throw(followed, who, action, values)
    wish = Wish(action, f"{who.name} ({who.kind})", strategy, values, f"{who.name}:{id}" if id else "")
    answer = await at_door(house, followed, ask, wish)
    return _shown(answer, ms(followed.replica.state.now))


async def at_door(house: House, followed: Followed, hand: Callable[[Path, T], Answer], wish: T) -> Answer:
    """Hand something in at a node's door. Raises ProblemError (409) when none runs or it refuses."""
    told = f"The run {followed.name} is not running, and nothing was done."
    stopped = ProblemError(409, told, "Start it, then try again.", code="not_running")
    if not followed.is_running:
        raise stopped
    try:
        answer = await house.reading(hand, followed.folder, wish)
    except NotRunningError:
        raise stopped from None
    if answer.error:
        raise ProblemError(409, answer.error, answer.remedy, code="refused_by_node")
    return answer


def refuse_demo(run: Followed, who: Identity) -> bool:
    """Return whether a run sends real orders. Raises ProblemError when the demo would steer one."""
    is_real = not run.replica.header.mode.startswith("paper")
    if is_real and who.kind == "demo":
        raise ProblemError(
            403,
            f"The run {run.name} sends real orders.",
            "Serve without --demo, and log in, to steer it.",
            code="demo",
        )
    return is_real


_SWITCH = frozenset({ControlAction.KILL, ControlAction.RELEASE})


def _extent(values: dict[str, Any]) -> killing.Extent:
    """Return how far a kill goes. Raises ProblemError (422) for an extent that there is not."""
    if values.get("flatten") is True:
        return killing.Extent.FLATTEN
    try:
        return killing.Extent(values.get("extent", killing.Extent.ENTRIES))
    except ValueError:
        raise ProblemError(
            422,
            f"A kill goes no further than entries, all or flatten, not {values['extent']!r}.",
            "Name one.",
        ) from None


def _throw(run: Followed, who: Identity, action: ControlAction, values: dict[str, Any]) -> AnswerOut:
    """Throw the switch of a run with real orders, or take it back: it holds whether or not the node can answer."""
    replica = run.replica
    if action is ControlAction.KILL:
        extent = _extent(values)
        is_new, done = killing.kill(run.folder, f"{who.name} ({who.kind})", extent), "thrown"
    else:
        is_new, done = killing.release(run.folder), "taken back"
    text = (
        f"The kill switch of {run.name} is {done}."
        if is_new
        else f"The kill switch of {run.name} stays as it was."
    )
    told = NoticeOut(ts=ms(replica.state.now), level="warning", code=action.value, text=text, strategy="")
    return AnswerOut(seq=replica.seq, orders=[], refusals=[], notices=[told])


def _shown(answer: Answer, ts: int) -> AnswerOut:
    return AnswerOut(
        seq=answer.seq,
        orders=list(answer.orders),
        refusals=[
            VerdictOut(approved=False, code=RefusalCode(each.code), reason=each.reason)
            for each in answer.refusals
        ],
        notices=[
            NoticeOut(ts=ts, level=each.level, code=each.code, text=each.text, strategy=each.strategy)
            for each in answer.notices
        ],
    )


__all__ = ["at_door", "refuse_demo", "steer"]
