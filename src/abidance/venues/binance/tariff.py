"""What Binance takes of an account's trades.

Spot: `{"symbol": "BTCUSDT", "standardCommission": {"maker": "0.001", "taker": "0.001", "buyer": "0", "seller": "0"},
"specialCommission": {...}, "taxCommission": {...}, "discount": {...}}`, whose kinds add up. Perpetuals: `{"symbol":
"BTCUSDT", "makerCommissionRate": "0.0002", "takerCommissionRate": "0.0005"}`.
"""

from decimal import Decimal

import msgspec

from abidance.model.money import ZERO
from abidance.venues.account import Rates
from abidance.venues.frames import reader
from abidance.venues.tariff import rates_of


class _Commission(msgspec.Struct, frozen=True):
    maker: Decimal = ZERO
    taker: Decimal = ZERO
    buyer: Decimal = ZERO
    seller: Decimal = ZERO

    def of(self, own: Decimal) -> Decimal:
        """Return what an order pays at most, whichever side it is of."""
        return own + max(self.buyer, self.seller)


_NONE = _Commission()


class _Spot(msgspec.Struct):
    standardCommission: _Commission  # noqa: N815 (the venue's own names, here and below)
    specialCommission: _Commission = _NONE  # noqa: N815
    taxCommission: _Commission = _NONE  # noqa: N815


class _Contract(msgspec.Struct):
    makerCommissionRate: Decimal  # noqa: N815
    takerCommissionRate: Decimal  # noqa: N815


_read_spot, _read_contract = reader(_Spot), reader(_Contract)


def spot_rates(body: bytes) -> Rates:
    """Return the fees in a spot market."""
    told = _read_spot(body)
    kinds = (told.standardCommission, told.specialCommission, told.taxCommission)
    return rates_of(
        sum((each.of(each.maker) for each in kinds), ZERO), sum((each.of(each.taker) for each in kinds), ZERO)
    )


def contract_rates(body: bytes) -> Rates:
    """Return the fees of a perpetual."""
    told = _read_contract(body)
    return rates_of(told.makerCommissionRate, told.takerCommissionRate)
