"""Whether new risk may be taken now, and why not. Exits pass in every state."""

from enum import StrEnum
from typing import NamedTuple

from abidance.model.outcome import RefusalCode


class TradingState(StrEnum):
    """ACTIVE trades, REDUCING only makes positions smaller by itself, HALTED does so until a person releases it."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class Standing(NamedTuple):
    """A trading state with the refusal that entries meet in it; `code` is None only when ACTIVE."""

    state: TradingState
    code: RefusalCode | None = None
    reason: str = ""


ACTIVE = Standing(TradingState.ACTIVE)
_SEVERITY = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


def strictest(*standings: Standing) -> Standing:
    """Return the standing that allows least; of equals the first, ACTIVE when there is none."""
    return max(standings, key=lambda standing: _SEVERITY[standing.state], default=ACTIVE)
