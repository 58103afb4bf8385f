"""Deeds and the audit log: each stands there before it is done, and what was then refused is told after it.

They wait for the disk beside the event loop, one after the other: one that does not answer holds up deeds, and nothing
else. What takes risk or rights away does not wait for a log that cannot be written (see `arrears`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from abidance.api.access import Identity
from abidance.api.arrears import Line
from abidance.api.house import House
from abidance.api.problems import ProblemError
from abidance.model.errors import AbidanceError


async def note(
    house: House,
    who: Identity,
    action: str,
    target: str = "",
    data: dict[str, Any] | None = None,
    *,
    by: str | None = None,
) -> None:
    """Write a deed to the audit log; `by` names who did it where nobody is known yet.

    Raises ProblemError (409, `not_audited`) when the log cannot be written; then nothing may be done.
    """
    actor = who.name if by is None else by
    told = partial(
        house.audit.write, actor, action, target, data, address=who.address, request_id=who.request_id
    )
    try:
        await house.auditing(told)
    except AbidanceError as error:
        raise ProblemError(409, error.found, error.remedy, code="not_audited") from error


async def note_anyway(
    house: House,
    who: Identity,
    action: str,
    target: str = "",
    data: dict[str, Any] | None = None,
    *,
    run: str = "",
) -> None:
    """Write a deed to the audit log that is done in any case, such as a kill: what cannot be written is owed to it."""
    told = Line(who.name, action, target, data or {}, who.address, who.request_id, run)
    await house.arrears.write(told)


@asynccontextmanager
async def deed(
    house: House,
    who: Identity,
    action: str,
    target: str = "",
    data: dict[str, Any] | None = None,
    *,
    by: str | None = None,
) -> AsyncIterator[None]:
    """Do something after it was written down; where it is refused, `<action>.refused` is written with the reason.

    Raises what `note` raises, before anything is done.
    """
    await note(house, who, action, target, data, by=by)
    try:
        yield
    except AbidanceError as error:
        await note(house, who, f"{action}.refused", target, {"reason": error.found}, by=by)
        raise


__all__ = ["deed", "note", "note_anyway"]
