"""How a Bybit account trades linear perpetuals. The margin mode is one for the whole account."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from abidance.venues.account import Call, Contracts, Mode, plain_number, read, refused, sound, understood
from abidance.venues.bybit.private import number
from abidance.venues.frames import reader
from abidance.venues.net.transport import Answer

T = TypeVar("T")
_CATEGORY = "linear"
_MARGINS = {"REGULAR_MARGIN": False, "PORTFOLIO_MARGIN": False, "ISOLATED_MARGIN": True}
"""Bybit's margin modes, and whether each position stands on its own margin."""


class _Told(msgspec.Struct, Generic[T]):
    retCode: int  # noqa: N815 (the venue's own names, here and below)
    result: T


class _Info(msgspec.Struct):
    marginMode: str  # noqa: N815


class _Setting(msgspec.Struct):
    symbol: str
    leverage: str
    positionIdx: int  # noqa: N815


class _Settings(msgspec.Struct):
    list: list[_Setting]


_read_info = reader(_Told[_Info])
_read_positions = reader(_Told[_Settings])


class BybitContracts(Contracts):
    """How an account trades; `symbols` are Bybit's by our ids."""

    venue = "BYBIT"

    def __init__(self, symbols: Mapping[str, str]) -> None:
        self._symbols = symbols

    def mode(self, instrument: str) -> Sequence[Call]:
        """Return the calls that tell how the account trades an instrument."""
        params = {"category": _CATEGORY, "symbol": self._symbols[instrument]}
        return (signed("GET", "account/info", {}), signed("GET", "position/list", params))

    def read_mode(self, answers: Sequence[Answer], instrument: str) -> Mode:
        """Return how the account trades an instrument; both sides are listed in hedge mode. Raises VenueError."""
        margin = _told(answers[0], _read_info).marginMode
        rows = [
            row for row in _told(answers[1], _read_positions).list if row.symbol == self._symbols[instrument]
        ]
        if margin not in _MARGINS or not rows:
            raise refused(self.venue, answers[1 if margin in _MARGINS else 0])
        with understood(self.venue, answers[1]):
            leverages = [number(row.leverage) for row in rows]
            sound(*leverages)
        return Mode(max(leverages), _MARGINS[margin], any(row.positionIdx for row in rows))

    def set_leverage(self, instrument: str, leverage: Decimal) -> Call:
        """Return the call that sets an instrument's leverage, of both sides at once."""
        text = plain_number(leverage)
        params = {"category": _CATEGORY, "symbol": self._symbols[instrument]}
        return signed("POST", "position/set-leverage", params | {"buyLeverage": text, "sellLeverage": text})


def _told(answer: Answer, reads: Callable[[bytes], _Told[T]]) -> T:
    """Return the result of an answer; Bybit tells errors with 200, too. Raises VenueError."""
    told = read("BYBIT", answer, reads)
    if told.retCode:
        raise refused("BYBIT", answer)
    return told.result


def signed(method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False) -> Call:
    """Return a signed call."""
    return Call(("private",), method, f"v5/{path}", params, is_urgent)
