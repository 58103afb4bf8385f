"""What Kraken takes of an account's trades, in percent.

`{"error": [], "result": {"currency": "ZUSD", "volume": "0.0000", "fees": {"XXBTZUSD": {"fee": "0.4000"}}, "fees_maker":
{"XXBTZUSD": {"fee": "0.2500"}}}}`; a pair without fees of its own for orders that rest has one for all.
"""

from decimal import Decimal

import msgspec

from abidance.venues.account import Rates
from abidance.venues.frames import reader
from abidance.venues.tariff import rates_of

_PERCENT = Decimal("0.01")


class _Fee(msgspec.Struct):
    fee: Decimal


class _Volume(msgspec.Struct):
    fees: dict[str, _Fee]
    fees_maker: dict[str, _Fee] = {}


class _Told(msgspec.Struct):
    error: list[str]
    result: _Volume | None = None


_read = reader(_Told)


def rates(body: bytes) -> Rates:
    """Return the fees in the one pair that was asked for."""
    told = _read(body)
    if told.error or told.result is None:
        raise ValueError(f"refused: {told.error}")
    ((name, taker),) = told.result.fees.items()
    maker = told.result.fees_maker.get(name, taker)
    return rates_of(maker.fee * _PERCENT, taker.fee * _PERCENT)
