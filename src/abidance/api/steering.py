"""Orders to running nodes: written to the audit log first, handed to the run's door, the answer told."""

from typing import Any

from abidance.api.access import Identity
from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.api.schemas.common import ms
from abidance.api.schemas.trading import AnswerOut, NoticeOut, VerdictOut
from abidance.model.event import ControlAction
from abidance.model.outcome import RefusalCode
from abidance.run.door import Answer, Wish, ask


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
    told = {"strategy": strategy, "values": values, "id": id}
    house.audit.write(
        who.name, f"control.{action}", run, told, address=who.address, request_id=who.request_id
    )
    wish = Wish(action, f"{who.name} ({who.kind})", strategy, values, f"{who.name}:{id}" if id else "")
    if not followed.is_running:
        raise ProblemError(
            409, f"The run {run} is not running.", "Start it, then try again.", code="not_running"
        )
    answer = await house.reading(ask, followed.folder, wish)
    if answer.error:
        raise ProblemError(409, answer.error, answer.remedy, code="refused_by_node")
    return _shown(answer, ms(followed.replica.state.now))


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


__all__ = ["steer"]
