"""Orders to running nodes: written to the audit log first, handed to the run's door, the answer told.

A kill goes through whether or not it can be written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from abidance.api.access import Identity
from abidance.api.deeds import note, note_anyway
from abidance.api.following import Followed
from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.api.schemas.trading import AnswerOut, NoticeOut, VerdictOut
from abidance.api.schemas.wire import ms
from abidance.model.errors import AbidanceError, UsageError
from abidance.model.event import ControlAction
from abidance.model.outcome import RefusalCode
from abidance.run import killing, releasing
from abidance.run.door import Answer, NotRunningError, Wish, ask, heed

T = TypeVar("T")
HEED = 2.0
"""Seconds for which whoever kills waits to hear that the bot has seen it."""


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
    if action is ControlAction.KILL and run in house.runs.broken:
        return await _kill_unread(house, who, run, values)
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
    actor, known = f"{who.name} ({who.kind})", f"{who.name}:{id}" if id else ""
    if action is ControlAction.RELEASE:
        return await _release(house, followed, actor, known)
    if is_real and action is ControlAction.KILL:
        text = await _throw(house, run, actor, _extent(values))
        return _told("kill", text, ms(followed.replica.state.now), followed.replica.seq)
    wish = Wish(action, actor, strategy, values, known)
    hand_in = house.throwing if action is ControlAction.KILL else house.steering
    answer = await at_door(followed, ask, wish, hand_in)
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


async def at_door(
    followed: Followed, hand: Callable[[Path, T], Answer], wish: T, off_loop: Callable[..., Awaitable[Answer]]
) -> Answer:
    """Hand something in at a node's door, `off_loop` by a lane of the house.

    Raises ProblemError (409) when none runs, when it refuses, and when nobody knows what it did (`no_answer`).
    """
    if not followed.is_running:
        raise _not_running(followed.name)
    try:
        answer = await off_loop(followed.name, hand, followed.folder, wish)
    except NotRunningError:
        raise _not_running(followed.name) from None
    except UsageError:
        raise
    except AbidanceError as error:
        raise ProblemError(409, error.found, error.remedy, code="no_answer") from error
    if answer.error:
        raise ProblemError(409, answer.error, answer.remedy, code="refused_by_node")
    return answer


def _not_running(run: str) -> ProblemError:
    told = f"The run {run} is not running, and nothing was done."
    return ProblemError(409, told, "Start it, then try again.", code="not_running")


def refuse_demo(run: Followed, who: Identity) -> bool:
    """Return whether a run sends real orders. Raises ProblemError when the demo would steer one."""
    if run.is_real and who.kind == "demo":
        raise _no_demo(f"The run {run.name} sends real orders.")
    return run.is_real


def _no_demo(found: str) -> ProblemError:
    return ProblemError(403, found, "Serve without --demo, and log in, to steer it.", code="demo")


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


def _extent(values: dict[str, Any]) -> killing.Extent:
    """Return how far a kill goes. Raises ProblemError (422) for an extent that there is not."""
    if values.get("flatten") is True:
        return killing.Extent.FLATTEN
    try:
        return killing.Extent(values.get("extent", killing.Extent.ENTRIES))
    except ValueError:
        told = f"A kill goes no further than entries, all or flatten, not {values['extent']!r}."
        raise ProblemError(422, told, "Name one.", fields={"values.extent": told}) from None


async def _throw(house: House, run: str, actor: str, extent: killing.Extent) -> str:
    """Throw the switch of a run, whether or not its node can answer; return what to say of it.

    Raises ProblemError (409) when neither the disk takes it nor the node says that it keeps to it.
    """
    fault: OSError | None = None
    is_new = True
    try:
        is_new = await house.throwing(run, killing.kill, house.runs.folder / run, actor, extent)
    except OSError as error:
        fault = error
    doubt = await _unheeded(house, run, extent, is_unwritten=fault is not None)
    if fault is None:
        state = "is thrown" if is_new else "was thrown already and stays as it was"
        return f"The kill switch of {run} {state}. {doubt or 'The bot has seen it.'}"
    if doubt:
        told = f"The kill switch of {run} could not be thrown ({fault.strerror}). {doubt}"
        raise ProblemError(409, told, "Make room on the disk, then throw it again.", code="not_thrown")
    return f"{run} is killed until its process ends, for the disk took nothing ({fault.strerror}): make room, throw it again."


async def _unheeded(house: House, run: str, extent: killing.Extent, *, is_unwritten: bool) -> str:
    """Return why it is not known that a node has seen its switch, empty when it has."""
    asked = partial(heed, house.runs.folder / run, extent, is_unwritten=is_unwritten)
    asking = asyncio.ensure_future(house.heeding(run, asked))
    done, _ = await asyncio.wait({asking}, timeout=HEED)
    if not done:
        asking.add_done_callback(lambda late: late.cancelled() or late.exception())
        return "The bot has not said yet that it has seen it."
    try:
        answer = asking.result()
    except NotRunningError:
        return "Nothing answers at its door: it is halted as soon as it looks, or starts."
    except AbidanceError as error:
        return error.found
    return f"{answer.error} {answer.remedy}".strip()


async def _kill_unread(house: House, who: Identity, run: str, values: dict[str, Any]) -> AnswerOut:
    """Kill a run whose journal cannot be read: by its folder, and as if its orders were real, for they may be."""
    if who.kind == "demo":
        raise _no_demo(f"What the run {run} does is not known, and its orders may be real.")
    extent = _extent(values)
    await note_anyway(house, who, "control.kill", run, {"extent": extent.value}, run=run)
    text = await _throw(house, run, f"{who.name} ({who.kind})", extent)
    return _told("kill", text, int(house.now() * 1000), 0)


async def _release(house: House, run: Followed, actor: str, id: str) -> AnswerOut:
    """End a halt of any cause. Raises ProblemError (409) when nothing ended."""
    try:
        found = await house.steering(run.name, releasing.release, run.folder, actor, id)
    except NotRunningError as error:
        raise ProblemError(409, error.found, error.remedy, code="not_running") from None
    except UsageError as error:
        raise ProblemError(409, error.found, error.remedy, code="refused_by_node") from None
    except AbidanceError as error:
        raise ProblemError(409, error.found, error.remedy, code="no_answer") from error
    if not found.is_ended:
        raise ProblemError(
            409, f"The run {run.name} is not halted.", "Nothing was changed.", code="not_halted"
        )
    if found.answer is None:
        why = found.silence or "Its process is not running."
        text = f"The kill switch of {run.name} is taken back. {why} The halt ends as soon as it looks."
        return _told("release", text, ms(run.replica.state.now), run.replica.seq)
    return _done(ControlAction.RELEASE, _shown(found.answer, ms(run.replica.state.now)))


def _told(code: str, text: str, ts: int, seq: int) -> AnswerOut:
    """Return an answer that is not the node's."""
    told = NoticeOut(ts=ts, level="warning", code=code, text=text, strategy="")
    return AnswerOut(seq=seq, orders=[], refusals=[], notices=[told])


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
