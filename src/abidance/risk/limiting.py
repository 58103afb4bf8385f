"""Limits and breakers that change while a run goes on: which values fit, and which of them let more risk in."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from abidance.model.errors import UsageError
from abidance.risk.config import BreakersConfig, LimitsConfig

G = TypeVar("G", LimitsConfig, BreakersConfig)
OFF = "off"
"""What a limit or a breaker is set to that is not to hold."""
_KINDS: Mapping[type, str] = {LimitsConfig: "limit", BreakersConfig: "breaker"}
_STRICTER_WHEN_HIGHER = frozenset(
    {"duplicate_window", "require_stop", "exit_margin", "cooldown", "cooldown_bars"}
)

NEVER_OFF = "Give a number: this one cannot be off"


def changed(guards: G, values: Mapping[str, object]) -> G:
    """Return limits or breakers with some of them changed. Raises UsageError, which names each that does not fit."""
    kind = _KINDS[type(guards)]
    if not values:
        raise UsageError(f"No {kind} is named.", f"Name one of: {', '.join(type(guards).model_fields)}.")
    wished = {name: None if value == OFF else value for name, value in values.items()}
    try:
        return type(guards).model_validate(guards.model_dump() | wished)
    except ValidationError as error:
        flaws = {
            ".".join(map(str, each["loc"])): NEVER_OFF if each["input"] is None else each["msg"]
            for each in error.errors()
        }
        told = "; ".join(f"{name}: {flaw}" for name, flaw in flaws.items())
        raise UsageError(
            f"These {kind}s do not fit: {told}.", f"All {kind}s stay as they were.", flaws
        ) from None


def loosened(before: G, after: G) -> tuple[str, ...]:
    """Return the names of those that let more through than before."""
    found = []
    for name in type(before).model_fields:
        old, new = (getattr(guards, name) for guards in (before, after))
        if old == new:
            continue
        if new is None or (old is not None and (new < old) == (name in _STRICTER_WHEN_HIGHER)):
            found.append(name)
    return tuple(found)


def told(before: G, after: G) -> str:
    """Return in words what differs."""
    return ", ".join(
        f"{name} {_shown(getattr(before, name))} to {_shown(getattr(after, name))}"
        for name in type(before).model_fields
        if getattr(before, name) != getattr(after, name)
    )


def _shown(value: object) -> str:
    return OFF if value is None else str(value).lower() if isinstance(value, bool) else f"{value:g}"


__all__ = ["OFF", "changed", "loosened", "told"]
