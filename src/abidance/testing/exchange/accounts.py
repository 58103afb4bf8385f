"""Whose money is whose on the local exchange: balances, fees, and an append-only ledger that is the truth for tests.

Amounts are exact decimals. What an order keeps for itself is locked; every change of a balance has its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

ZERO = Decimal(0)


class Line(NamedTuple):
    """One change of one balance, and the order and print behind it.

    `why` is `deposit`, `withdrawal`, `loan`, `repayment`, `trade` (spot), `fee`, `realised`, `funding` or `insurance`
    (perpetuals); funding names its `instrument`.
    """

    ts: int
    asset: str
    amount: Decimal
    why: str
    order: int = 0
    print: int = 0
    instrument: str = ""


@dataclass
class Purse:
    """How much of an asset an account may use, and how much its orders keep."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Return both together."""
        return self.free + self.locked


class Charge(NamedTuple):
    """Interest of one hour: added to what is owed. `bearing` is on how much; the first may come with the loan."""

    ts: int
    asset: str
    cost: Decimal
    bearing: Decimal
    rate: Decimal
    is_first: bool = False


@dataclass
class Position:
    """What an account holds of a perpetual: signed lots, and what they cost, signed too. Times are ns UTC."""

    lots: int = 0
    cost: Decimal = ZERO
    leverage: int = 20
    is_isolated: bool = False
    wallet: Decimal = ZERO
    """The margin of its own on which an isolated one stands; part of the purse that nothing else may use."""
    realised: Decimal = ZERO
    since: int = 0
    updated: int = 0
    funded: int = 0


@dataclass
class Permissions:
    """What a key may do."""

    trade: bool = True
    withdraw: bool = False
    borrow: bool = False
    """It may use a margin account, where there is one apart (Binance, KuCoin)."""
    addresses: tuple[str, ...] = ("127.0.0.1",)
    is_revoked: bool = False

    def admit(self, address: str) -> bool:
        """Say whether the key is taken from an address; one without a list is taken from anywhere."""
        return not self.addresses or address in self.addresses


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
    positions: dict[str, Position] = field(default_factory=dict)
    debts: dict[str, Decimal] = field(default_factory=dict)
    """What is owed by asset, interest included."""
    accrued: dict[str, Decimal] = field(default_factory=dict)
    """How much of that is interest, where it bears none itself."""
    charges: list[Charge] = field(default_factory=list)
    charged_until: int = 0
    is_hedged: bool = False
    """Long and short of a perpetual are held apart, which is not played here: such orders are refused."""
    ledger: list[Line] = field(default_factory=list)
    number: int = 0
    """What the exchange calls the account, whatever its key; made from the first key where none is given."""
    margin: "Account | None" = None
    """Its cross margin account, with purses, orders and debts of its own, once there is one."""

    def open_margin(self) -> "Account":
        """Return the cross margin account, which its first use opens: the key is the same and may use it."""
        if self.margin is None:
            self.permissions.borrow = True
            own = (self.key, self.secret, self.passphrase, self.maker, self.taker, self.fee_asset)
            self.margin = Account(*own, self.permissions, number=self.number)
        return self.margin

    def __post_init__(self) -> None:
        self.number = self.number or 100_000_000 + crc32(self.key.encode()) % 900_000_000

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
