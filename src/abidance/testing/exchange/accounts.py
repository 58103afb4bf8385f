"""Whose money is whose on the local exchange: balances, fees, and an append-only ledger that is the truth for tests.

Amounts are exact decimals. What an order keeps for itself is locked; every change of a balance has its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

ZERO = Decimal(0)


class Line(NamedTuple):
    """One change of one balance: why (`deposit`, `withdrawal`, `trade`, `fee`), and the order and print behind it."""

    ts: int
    asset: str
    amount: Decimal
    why: str
    order: int = 0
    print: int = 0


@dataclass
class Purse:
    """How much of an asset an account may use, and how much its orders keep."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Return both together."""
        return self.free + self.locked


@dataclass
class Permissions:
    """What a key may do."""

    trade: bool = True
    withdraw: bool = False
    addresses: tuple[str, ...] = ("127.0.0.1",)
    is_revoked: bool = False


@dataclass
class Account:
    """One account with one key; `maker` and `taker` are fee rates, `fee_asset` pays the fees while there is any."""

    key: str
    secret: str
    passphrase: str = ""
    maker: Decimal = Decimal("0.001")
    taker: Decimal = Decimal("0.001")
    fee_asset: str = ""
    permissions: Permissions = field(default_factory=Permissions)
    purses: dict[str, Purse] = field(default_factory=dict)
    ledger: list[Line] = field(default_factory=list)

    def purse(self, asset: str) -> Purse:
        """Return the purse of an asset, an empty one when there was none."""
        return self.purses.setdefault(asset, Purse())

    def move(self, line: Line) -> None:
        """Book a line on what is free."""
        self.purse(line.asset).free += line.amount
        self.ledger.append(line)

    def lock(self, asset: str, amount: Decimal) -> None:
        """Keep an amount for an order."""
        purse = self.purse(asset)
        purse.free -= amount
        purse.locked += amount

    def totals(self) -> Mapping[str, Decimal]:
        """Return what there is of each asset."""
        return {asset: purse.total for asset, purse in self.purses.items() if purse.total}
