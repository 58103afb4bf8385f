"""What MEXC takes of an account's trades.

`{"data": {"makerCommission": 0.0, "takerCommission": 0.0005}, "code": 0, "msg": "success", "timestamp": 1669109672717}`
"""

from decimal import Decimal

import msgspec

from abidance.venues.account import Rates
from abidance.venues.frames import reader
from abidance.venues.tariff import rates_of


class _Fees(msgspec.Struct):
    makerCommission: Decimal  # noqa: N815 (the venue's own names, here and below)
    takerCommission: Decimal  # noqa: N815


class _Told(msgspec.Struct):
    data: _Fees
    code: int = 0


_read = reader(_Told)


def rates(body: bytes) -> Rates:
    """Return the fees in the one instrument that was asked for."""
    told = _read(body)
    if told.code:
        raise ValueError(f"refused: {told.code}")
    return rates_of(told.data.makerCommission, told.data.takerCommission)
