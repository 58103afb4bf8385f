"""Orders to running nodes: written to the audit log first, handed to the run's door, the answer told.

A kill goes through whether or not it can be written.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from abidance.api.access import Identity
from abidance.api.deeds import note, note_anyway
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
    """Hand an order to a node and return what came of it.

    Raises ProblemError: 409 when none runs, or when it or its risk refuses; 422 for what does not fit.
    """
    followed = house.runs.get(run)
    if strategy and strategy not in followed.replica.state.strategies:
        flaw = f"The run {run} has no strategy {strategy!r}."
        raise ProblemError(422, flaw, "Name one of the run's, or none.", fields={"strategy": flaw})
    if action is ControlAction.KILL:
        values = {**values, "extent": _extent(values).value}
    is_real = refuse_demo(followed, who)
    told = {"strategy": strategy, "values": values, "id": id}
    if action is ControlAction.KILL:  # safety does not wait for a log
        await note_anyway(house, who, f"control.{action}", run, told, run=run)
    else:
        await note(house, who, f"control.{action}", run, told)
    if is_real and action in _SWITCH:
        return await _throw(followed, who, action, values)
    wish = Wish(action, f"{who.name} ({who.kind})", strategy, values, f"{who.name}:{id}" if id else "")
    answer = await at_door(house, followed, ask, wish)
    return _done(action, _shown(answer, ms(followed.replica.state.now)))


def _done(action: ControlAction, answer: AnswerOut) -> AnswerOut:
    """Return a node's answer to what it did. Raises ProblemError (409) when it says that it, or its risk, did not.

    A kill holds in any case, and of several positions some may be left: then the answer tells what was refused.
    """
    for each in answer.notices:
        if each.code.endswith("_refused") or each.code == "strategy_failed":
            remedy = "Nothing was changed by this request; what was asked for after it was not tried."
            raise ProblemError(409, each.text, remedy, code=each.code)
    if action in _RISKED and answer.refusals and not answer.orders:
        first = answer.refusals[0]
        assert first.code is not None
        fields = {_FIELDS[first.code]: first.reason} if first.code in _FIELDS else {}
        raise ProblemError(
            409, first.reason, "docs/refusals.md explains the code.", code=first.code, fields=fields
        )
    return answer


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


_RISKED = frozenset({ControlAction.ORDER, ControlAction.AMEND_ORDER, ControlAction.FLATTEN})
_FIELDS = {
    RefusalCode.UNKNOWN_INSTRUMENT: "instrument",
    RefusalCode.SHORT_NOT_ALLOWED: "side",
    RefusalCode.NOT_REDUCING: "quantity",
    RefusalCode.ZERO_QUANTITY: "quantity",
    RefusalCode.MIN_QUANTITY: "quantity",
    RefusalCode.MIN_NOTIONAL: "quantity",
    RefusalCode.MAX_ORDER_VALUE: "quantity",
    RefusalCode.INSUFFICIENT_FUNDS: "quantity",
    RefusalCode.PRICE_COLLAR: "price",
    RefusalCode.MISSING_STOP: "stop_distance",
}
"""Which field of a manual order a refusal is about; the others are about where the run stands."""
_SWITCH = frozenset({ControlAction.KILL, ControlAction.RELEASE})


def _extent(values: dict[str, Any]) -> killing.Extent:
    """Return how far a kill goes. Raises ProblemError (422) for an extent that there is not."""
    if values.get("flatten") is True:
        return killing.Extent.FLATTEN
    try:
        return killing.Extent(values.get("extent", killing.Extent.ENTRIES))
    except ValueError:
        told = f"A kill goes no further than entries, all or flatten, not {values['extent']!r}."
        raise ProblemError(422, told, "Name one.", fields={"values.extent": told}) from None


async def _throw(run: Followed, who: Identity, action: ControlAction, values: dict[str, Any]) -> AnswerOut:
    """Throw the switch of a run with real orders, or take it back: it holds whether or not the node can answer."""
    replica = run.replica
    if action is ControlAction.KILL:
        extent = _extent(values)
        is_new = await asyncio.to_thread(killing.kill, run.folder, f"{who.name} ({who.kind})", extent)
    else:
        is_new = await asyncio.to_thread(killing.release, run.folder)
    done = "thrown" if action is ControlAction.KILL else "taken back"
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
