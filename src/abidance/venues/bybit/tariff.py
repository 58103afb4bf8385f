"""What Bybit takes of an account's trades.

`{"retCode": 0, "result": {"list": [{"symbol": "BTCUSDT", "takerFeeRate": "0.001", "makerFeeRate": "0.001"}]}}`
"""

from decimal import Decimal

import msgspec

from abidance.venues.account import Rates
from abidance.venues.frames import reader
from abidance.venues.tariff import rates_of


class _Row(msgspec.Struct):
    takerFeeRate: Decimal  # noqa: N815 (the venue's own names, here and below)
    makerFeeRate: Decimal  # noqa: N815


class _Rows(msgspec.Struct):
    list: list[_Row]


class _Told(msgspec.Struct):
    retCode: int  # noqa: N815
    result: _Rows


_read = reader(_Told)


def rates(body: bytes) -> Rates:
    """Return the fees in the one instrument that was asked for."""
    told = _read(body)
    if told.retCode:
        raise ValueError(f"refused: {told.retCode}")
    (row,) = told.result.list
    return rates_of(row.makerFeeRate, row.takerFeeRate)
