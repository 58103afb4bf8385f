"""Deeds and the audit log: each stands there before it is done, and what was then refused is told after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from abidance.api.access import Identity
from abidance.api.house import House
from abidance.model.errors import AbidanceError


def note(
    house: House,
    who: Identity,
    action: str,
    target: str = "",
    data: dict[str, Any] | None = None,
    *,
    by: str | None = None,
) -> None:
    """Write a deed to the audit log; `by` names who did it where nobody is known yet.

    Raises AbidanceError when the log cannot be written; then nothing may be done.
    """
    actor = who.name if by is None else by
    house.audit.write(actor, action, target, data, address=who.address, request_id=who.request_id)


@contextmanager
def deed(
    house: House,
    who: Identity,
    action: str,
    target: str = "",
    data: dict[str, Any] | None = None,
    *,
    by: str | None = None,
) -> Iterator[None]:
    """Do something after it was written down; where it is refused, `<action>.refused` is written with the reason.

    Raises what `note` raises, before anything is done.
    """
    note(house, who, action, target, data, by=by)
    try:
        yield
    except AbidanceError as error:
        note(house, who, f"{action}.refused", target, {"reason": error.found}, by=by)
        raise


__all__ = ["deed", "note"]
