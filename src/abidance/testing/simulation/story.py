"""What the checker keeps in mind: what the journal tells, summed up, and what truly happened at each exchange.

Like the checker it shares no code with what is judged.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

ZERO = Decimal(0)
CLOSED = frozenset({"filled", "cancelled", "expired", "rejected", "abandoned"})
_MARKED = re.compile(r"([0-9a-f]{32})r[0-9]+")


def unmarked(client_id: str) -> str:
    """Return the id of an intent in that of an order: one that goes to its venue again may bear a mark behind it."""
    found = _MARKED.fullmatch(client_id)
    return client_id if found is None else found[1]


class Terms(NamedTuple):
    """What is traded, and how the exchange writes the number of an execution in it; `stops` is whether stops go there.

    No order may be worth less than `least`, or of less than `smallest`. With `dearest` no entry at market may cost more
    than that share of its value; `taker` is the true fee. No entry may be worth more than `largest`. One of the coin in
    which fees are taken costs `coin`, in quote units; zero where they are taken in what is traded.
    """

    instrument: str
    venue: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    least: Decimal
    smallest: Decimal
    is_perpetual: bool = False
    taker: Decimal = ZERO
    dearest: Decimal | None = None
    largest: Decimal | None = None
    execution: Callable[[int], str] = str
    stops: bool = True
    coin: Decimal = ZERO


class Shares(NamedTuple):
    """What all that is held and may fill may come to of one asset, and at one venue, as shares of equity."""

    asset: Decimal = Decimal("0.25")
    venue: Decimal = Decimal("0.5")


class Part(Protocol):
    """One true execution, in ticks and lots."""

    id: int
    price: int
    lots: int
    fee: Decimal
    fee_asset: str


@dataclass
class Intent:
    """One order as the journal tells it; an exit `is_goal` when it waits for a better price, a stop has a `trigger`."""

    id: str
    instrument: str
    side: str
    quantity: Decimal
    reduces: bool
    price: Decimal
    end: int
    parent: int = 0
    strategy: str = ""
    is_goal: bool = False
    trigger: Decimal = ZERO
    state: str = "sent"
    filled: Decimal = ZERO
    is_called_off: bool = False

    @property
    def protects(self) -> bool:
        """Return True for what leaves, or will when the price is against us."""
        return self.reduces and not self.is_goal

    @property
    def is_open(self) -> bool:
        """Return True until it has ended."""
        return self.state not in CLOSED

    @property
    def left(self) -> Decimal:
        """Return what has not filled."""
        return self.quantity - self.filled

    @property
    def may_fill(self) -> Decimal:
        """Return what it has filled or still may."""
        return max(self.quantity, self.filled) if self.is_open else self.filled


@dataclass
class Placed:
    """One order as the exchange has it."""

    number: int
    client_id: str
    state: str = "open"
    filled: int = 0

    @property
    def works(self) -> bool:
        """Return True while it may fill."""
        return self.state in ("waiting", "open", "partial")


@dataclass
class Venue:
    """What truly happened at one exchange; `execution` is how it writes the number of an execution.

    Each market counts its own executions: they are kept by the instrument and that number.
    """

    execution: Callable[[int], str]
    orders: dict[int, Placed] = field(default_factory=dict)
    by_client: dict[str, list[Placed]] = field(default_factory=dict)
    parts: dict[tuple[str, str], list[tuple[str, Part]]] = field(default_factory=dict)
    funding: Decimal = ZERO

    def entry(self, entry: Any, instrument: str) -> None:
        """Take the next line of the exchange's history, and what it trades, if anything."""
        if entry.line is not None and entry.line.why == "funding":
            self.funding += entry.line.amount
        if not entry.order:
            return
        placed, client_id = self.orders.get(entry.order), unmarked(entry.client_id)
        if placed is None:
            placed = self.orders[entry.order] = Placed(entry.order, client_id)
            self.by_client.setdefault(client_id, []).append(placed)
        placed.state, placed.filled = str(entry.state), entry.filled
        if entry.part is not None:
            name = instrument, self.execution(entry.part.id)
            self.parts.setdefault(name, []).append((client_id, entry.part))

    def true_name(self, instrument: str, name: str) -> tuple[str, str]:
        """Return under what a fill is found here; one of our two own sides bears a mark behind its name."""
        is_true = (instrument, name) in self.parts
        return instrument, name if is_true else name.rpartition("-")[0]

    def found(self, instrument: str, name: str) -> list[tuple[str, Part]]:
        """Return the true executions that a fill of this name may be of."""
        return self.parts.get(self.true_name(instrument, name), [])


@dataclass
class Story:
    """What the journal tells, summed up; money by venue and asset, holdings by owner and instrument."""

    intents: dict[str, Intent] = field(default_factory=dict)
    parents: dict[int, Decimal] = field(default_factory=dict)
    fills: dict[tuple[str, str], str] = field(default_factory=dict)
    cash: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    owned: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    cost: dict[tuple[str, str], Fraction] = field(default_factory=dict)
    quotes: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    books: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    certified: dict[str, bool] = field(default_factory=dict)
    funding: dict[str, Decimal] = field(default_factory=dict)
    stands_for: Decimal = ZERO
    """What fees in coins that nobody trades are told to stand for, in quote units."""
    transfers: Counter[tuple[str, Decimal]] = field(default_factory=Counter)
    """How often which amount of which asset came or went by the owner."""
    credited: Counter[tuple[str, Decimal]] = field(default_factory=Counter)
    """The same of the run's own."""
    shut: set[tuple[str, str]] = field(default_factory=set)
    """Circuits, by venue and part, that let no entry through."""
    killed: bool = False

    def price(self, instrument: str) -> Decimal:
        """Return the middle of the last quote, zero before the first."""
        bid, ask = self.quotes.get(instrument, (ZERO, ZERO))
        return (bid + ask) / 2

    def held(self, instrument: str) -> Decimal:
        """Return the position over all owners."""
        return sum((much for (_, where), much in self.owned.items() if where == instrument), ZERO)

    def hold(self, owner: str, instrument: str, signed: Decimal, lot: Decimal) -> None:
        """Book what is held; what a sale leaves of less than a lot can never be sold, and is no position."""
        key = (owner, instrument)
        before = self.owned.get(key, ZERO)
        now = before + signed
        self.owned[key] = ZERO if abs(now) < lot and signed < 0 < before else now

    def settle(self, owner: str, instrument: str, signed: Decimal, price: Decimal) -> Fraction:
        """Book an execution of a perpetual at its mean cost, and return what it realised."""
        key = (owner, instrument)
        held, cost, realised = self.owned.get(key, ZERO), self.cost.get(key, Fraction(0)), Fraction(0)
        closed = min(abs(signed), abs(held)) if signed * held < 0 else ZERO
        if closed:
            part = cost * Fraction(closed) / Fraction(abs(held))
            direction = 1 if held > 0 else -1
            realised = direction * Fraction(closed) * Fraction(price) - part
            cost -= part
        opened = abs(signed) - closed
        if opened:
            cost += Fraction(opened if signed > 0 else -opened) * Fraction(price)
        self.owned[key], self.cost[key] = held + signed, cost
        return realised

    def move(self, venue: str, asset: str, amount: Decimal) -> None:
        """Book an amount."""
        self.cash[venue, asset] = self.cash.get((venue, asset), ZERO) + amount

    def open_parts(self, parent: int) -> Decimal:
        """Return what the orders of a worked entry have filled or still may."""
        return sum((each.may_fill for each in self.intents.values() if each.parent == parent), ZERO)
