"""Limits that change while a run goes on: which values fit, and which of them let more risk in."""

from collections.abc import Mapping

from pydantic import ValidationError

from abidance.model.errors import UsageError
from abidance.risk.config import LimitsConfig

OFF = "off"
"""What a limit is set to that is not to hold."""
_STRICTER_WHEN_HIGHER = frozenset({"duplicate_window", "require_stop", "exit_margin"})


def changed(limits: LimitsConfig, values: Mapping[str, object]) -> LimitsConfig:
    """Return the limits with some of them changed. Raises UsageError, which names each value that does not fit."""
    if not values:
        raise UsageError("No limit is named.", f"Name one of: {', '.join(LimitsConfig.model_fields)}.")
    wished = {name: None if value == OFF else value for name, value in values.items()}
    try:
        return LimitsConfig.model_validate(limits.model_dump() | wished)
    except ValidationError as error:
        flaws = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UsageError(
            f"These limits do not fit: {'; '.join(flaws)}.", "All limits stay as they were."
        ) from None


def loosened(before: LimitsConfig, after: LimitsConfig) -> tuple[str, ...]:
    """Return the names of the limits that let more through than before."""
    found = []
    for name in LimitsConfig.model_fields:
        old, new = (getattr(limits, name) for limits in (before, after))
        if old == new:
            continue
        if new is None or (old is not None and (new < old) == (name in _STRICTER_WHEN_HIGHER)):
            found.append(name)
    return tuple(found)


def told(before: LimitsConfig, after: LimitsConfig) -> str:
    """Return in words what differs."""
    return ", ".join(
        f"{name} {_shown(getattr(before, name))} to {_shown(getattr(after, name))}"
        for name in LimitsConfig.model_fields
        if getattr(before, name) != getattr(after, name)
    )


def _shown(value: object) -> str:
    return OFF if value is None else str(value).lower() if isinstance(value, bool) else f"{value:g}"


__all__ = ["OFF", "changed", "loosened", "told"]
