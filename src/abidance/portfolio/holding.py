"""What one strategy holds in one instrument: quantity, mean price, profit, and the round trip that is open.

Owns the arithmetic of positions, long and short alike. A spot fee taken in the base asset is a smaller movement at the
same price and a fee of that worth, so that one rule serves every fill. Refuses money: wallets are the ledger's.
"""

from decimal import Context, Decimal

import msgspec

from abidance.model.account import Position, RoundTrip
from abidance.model.money import ZERO
from abidance.model.order import Direction, Fill

_SHOWN = Context(prec=28)
"""What leaves this module is rounded to as many digits as a person could ever compare."""


class Movement(msgspec.Struct, frozen=True, gc=False):
    """How a fill moves a holding: `quantity` signed in base units, `fee` its worth in quote units."""

    fill: Fill
    quantity: Decimal
    fee: Decimal
    tag: str = ""


class Holding:
    """One strategy's net position in one instrument and its open round trip.

    Call `apply` and `pay_funding` within exact Decimal arithmetic. `size` and `entry` are float mirrors of quantity
    and mean price for valuation between fills.
    """

    __slots__ = (
        "cost",
        "entered",
        "entered_cost",
        "entry",
        "fees",
        "funding",
        "instrument",
        "left",
        "left_cost",
        "peak",
        "position",
        "quantity",
        "quote",
        "realised",
        "size",
        "strategy",
        "tags",
        "ts_opened",
    )

    def __init__(self, strategy: str, instrument: str, quote: str) -> None:
        self.strategy = strategy
        self.instrument = instrument
        self.quote = quote
        self._clear()
        self._mirror()

    def _clear(self) -> None:
        """Become flat: nothing of a closed round trip may reach the next."""
        self.quantity: Decimal = ZERO
        self.peak: Decimal = ZERO
        self.cost: Decimal = ZERO
        self.realised: Decimal = ZERO
        self.fees: Decimal = ZERO
        self.funding: Decimal = ZERO
        self.entered: Decimal = ZERO
        self.entered_cost: Decimal = ZERO
        self.left: Decimal = ZERO
        self.left_cost: Decimal = ZERO
        self.ts_opened = 0
        self.tags: tuple[str, ...] = ()

    def apply(self, move: Movement) -> tuple[Decimal, RoundTrip | None]:
        """Move the position; return what was realised (before fees) and the round trip that closed, if one did.

        A movement through zero closes one round trip and opens the next; the fee is shared by quantity.
        """
        held, moved = self.quantity, move.quantity
        if moved and held and (held > 0) != (moved > 0) and abs(moved) > abs(held):
            share = move.fee * abs(held) / abs(moved)
            realised, trip = self._reduce(move, -held, share)
            self._increase(move, held + moved, move.fee - share)
        elif held and (held > 0) != (moved > 0):
            realised, trip = self._reduce(move, moved, move.fee)
        else:
            realised, trip = ZERO, None
            self._increase(move, moved, move.fee)
        self._mirror()
        return realised, trip

    def pay_funding(self, amount: Decimal) -> None:
        """Add funding (signed, positive when received) to the open round trip."""
        self.funding += amount
        self._mirror()

    def value_change(self, mark: Decimal) -> Decimal:
        """Return the profit that closing everything at `mark` would realise."""
        return self.quantity * mark - self.cost

    def trip(self, ts_exit: int | None, reason: str, unrealised: Decimal = ZERO) -> RoundTrip:
        """Return the round trip as it stands; open when `ts_exit` is None, with `unrealised` added to its result."""
        shown = _SHOWN.plus
        closed = ts_exit is not None
        return RoundTrip(
            instrument=self.instrument,
            strategy=self.strategy,
            direction=Direction.LONG if self.peak > 0 else Direction.SHORT,
            ts_entry=self.ts_opened,
            entry_price=_SHOWN.divide(self.entered_cost, self.entered),
            ts_exit=ts_exit,
            exit_price=_SHOWN.divide(self.left_cost, self.left) if closed else None,
            quantity=abs(self.peak),
            pnl=shown(self.realised + unrealised - self.fees + self.funding),
            fees=shown(self.fees),
            funding=shown(self.funding),
            tags=self.tags,
            exit_reason=reason,
        )

    def _increase(self, move: Movement, moved: Decimal, fee: Decimal) -> None:
        """Open or add to the position."""
        self.fees += fee
        self._tag(move.tag)
        if not moved:
            return
        if not self.quantity:
            self.ts_opened = move.fill.ts
        price, size = move.fill.price, abs(moved)
        self.quantity += moved
        self.cost += moved * price
        self.entered += size
        self.entered_cost += size * price
        if abs(self.quantity) > abs(self.peak):
            self.peak = self.quantity

    def _reduce(self, move: Movement, moved: Decimal, fee: Decimal) -> tuple[Decimal, RoundTrip | None]:
        """Close some or all of the position, releasing its cost by share so that nothing of it is ever lost."""
        price, size = move.fill.price, abs(moved)
        closes = not (self.quantity + moved)
        released = self.cost if closes else self.cost * size / abs(self.quantity)
        realised = -moved * price - released
        self.quantity += moved
        self.cost -= released
        self.realised += realised
        self.fees += fee
        self.left += size
        self.left_cost += size * price
        self._tag(move.tag)
        if not closes:
            return realised, None
        trip = self.trip(move.fill.ts, move.fill.purpose.value)
        self._clear()
        return realised, trip

    def _tag(self, tag: str) -> None:
        if tag and tag not in self.tags:
            self.tags += (tag,)

    def _mirror(self) -> None:
        average = _SHOWN.divide(self.cost, self.quantity) if self.quantity else ZERO
        self.size = float(self.quantity)
        self.entry = float(average)
        self.position = Position(
            strategy=self.strategy,
            instrument=self.instrument,
            quantity=self.quantity,
            average_price=average,
            realised=_SHOWN.plus(self.realised),
            fees=_SHOWN.plus(self.fees),
            funding=_SHOWN.plus(self.funding),
            ts_opened=self.ts_opened,
        )
