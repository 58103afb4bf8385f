"""What KuCoin takes of an account's trades.

`{"code": "200000", "data": [{"symbol": "BTC-USDT", "takerFeeRate": "0.001", "makerFeeRate": "0.001"}]}`
"""

from decimal import Decimal

import msgspec

from abidance.venues.account import Rates
from abidance.venues.frames import reader
from abidance.venues.tariff import rates_of

_DONE = "200000"


class _Row(msgspec.Struct):
    takerFeeRate: Decimal  # noqa: N815 (the venue's own names, here and below)
    makerFeeRate: Decimal  # noqa: N815


class _Told(msgspec.Struct):
    code: str
    data: list[_Row]


_read = reader(_Told)


def rates(body: bytes) -> Rates:
    """Return the fees in the one instrument that was asked for."""
    told = _read(body)
    if told.code != _DONE:
        raise ValueError(f"refused: {told.code}")
    (row,) = told.data
    return rates_of(row.makerFeeRate, row.takerFeeRate)
