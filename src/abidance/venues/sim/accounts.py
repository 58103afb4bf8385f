"""The venue's own books: balances and positions in Decimal, reservations, isolated margin, fees by traded volume.

Kept independently of the portfolio's ledger, so that the one can check the other. Decides no price and no fill.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

from abidance.model.account import Balance, Position
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.money import UNIT, ZERO, ceil_to, floor_to, paid, received, to_decimal
from abidance.model.order import Fill
from abidance.venues.sim.config import VenueConfig
from abidance.venues.sim.fills import liquidation_price

_EXACT = Context(prec=60)
"""Shares of a cost are kept to so many digits that nothing is lost before money is rounded."""
_WINDOW_NS = 30 * 86_400 * SECOND_NS


@dataclass(slots=True, eq=False)
class Wallet:
    """One asset at one venue; `reserved` is held by working orders and by margin."""

    total: Decimal = ZERO
    reserved: Decimal = ZERO

    @property
    def free(self) -> Decimal:
        """Return what may still be spent."""
        return self.total - self.reserved


@dataclass(slots=True, eq=False)
class Holding:
    """A strategy's position in one instrument; `cost` is signed, `liquidation` means something for perpetuals only."""

    strategy: str
    instrument: Instrument
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    margin: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    ts_opened: int = 0
    liquidation: float = 0.0

    @property
    def side(self) -> int:
        """Return +1 for long, -1 for short, 0 for flat."""
        return 1 if self.quantity > 0 else -1 if self.quantity < 0 else 0

    def closing(self, signed: Decimal) -> Decimal:
        """Return how much of a signed quantity would make this position smaller, unsigned."""
        return min(abs(self.quantity), abs(signed)) if self.quantity * signed < 0 else ZERO

    def freed(self, closed: Decimal, price: Decimal) -> Decimal:
        """Return the margin and profit that closing so much at `price` would set free."""
        if not closed:
            return ZERO
        share = closed / abs(self.quantity)
        return (self.margin - self.cost) * share + self.side * closed * price

    def change(self, signed: Decimal, price: Decimal, leverage: Decimal | None) -> Decimal:
        """Add a signed quantity at a price and return the profit realised; what is closed frees margin in proportion.

        A full close releases all of the cost. Call it within exact arithmetic.
        """
        closed, realised = self.closing(signed), ZERO
        if closed:
            whole, side = closed == abs(self.quantity), self.side
            part = closed / abs(self.quantity)
            cost = self.cost if whole else self.cost * closed / abs(self.quantity)
            realised = side * closed * price - cost
            self.margin -= self.margin if whole else (self.margin * part).quantize(UNIT)
            self.cost -= cost
            self.quantity -= side * closed
        opened = abs(signed) - closed
        if opened:
            sign = 1 if signed > 0 else -1
            self.quantity += sign * opened
            self.cost += sign * opened * price
            if leverage is not None:
                self.margin += paid(opened * price / leverage)
        self.realised += realised
        return realised

    def bankruptcy_price(self) -> Decimal:
        """Return the price at which the margin is spent, on the tick grid on the side that costs no more than it."""
        raw = (self.cost - self.margin) / self.quantity
        rounded = ceil_to(raw, self.instrument.tick) if self.side > 0 else floor_to(raw, self.instrument.tick)
        return max(rounded, ZERO)

    def refresh_liquidation(self) -> None:
        """Work out the liquidation price again after the position or its margin changed."""
        if self.quantity:
            size = abs(self.quantity)
            self.liquidation = liquidation_price(
                float(self.cost / self.quantity),
                float(self.margin / size),
                float(self.instrument.maintenance),
                self.side,
            )

    def as_position(self) -> Position:
        """Return the frozen value for readers."""
        average = self.cost / self.quantity if self.quantity else ZERO
        return Position(
            self.strategy, self.instrument.id, self.quantity, average, self.realised, self.fees, self.funding,
            self.ts_opened,
        )  # fmt: skip


class Accounts:
    """All balances and positions of the simulated venues."""

    def __init__(self, balances: Mapping[str, Mapping[str, Decimal]]) -> None:
        self._wallets: dict[tuple[str, str], Wallet] = {
            (venue, asset): Wallet(amount)
            for venue, assets in balances.items()
            for asset, amount in assets.items()
        }
        self._holdings: dict[tuple[str, str], Holding] = {}

    def wallet(self, venue: str, asset: str) -> Wallet:
        """Return an asset's books, opened empty at the first question."""
        return self._wallets.setdefault((venue, asset), Wallet())

    def holding(self, strategy: str, instrument: Instrument) -> Holding:
        """Return a strategy's position, opened flat at the first question."""
        key = (strategy, instrument.id)
        found = self._holdings.get(key)
        if found is None:
            found = self._holdings[key] = Holding(strategy, instrument)
        return found

    def book(self, fill: Fill, instrument: Instrument, leverage: Decimal, fee_value: Decimal) -> Holding:
        """Book a fill: cash, asset, margin and fee; `fee_value` is the fee in quote units. Return the position.

        A spot fee in the base is taken out of what is held: the position moves by so much less.
        """
        with localcontext(_EXACT):
            signed, price = fill.side.sign * fill.quantity, fill.price
            holding = self.holding(fill.strategy, instrument)
            if not holding.quantity:
                holding.ts_opened = fill.ts
            quote = self.wallet(instrument.venue, instrument.quote)
            if instrument.is_perpetual:
                margin = holding.margin
                quote.total += received(holding.change(signed, price, leverage))
                quote.reserved += holding.margin - margin
            else:
                kept = fill.fee if fill.fee_asset == instrument.base else ZERO
                holding.change(signed - kept, price, None)
                self.wallet(instrument.venue, instrument.base).total += signed
                quote.total -= paid(signed * price)
            self.wallet(instrument.venue, fill.fee_asset).total -= fill.fee
            holding.fees += fee_value
            holding.refresh_liquidation()
            if not holding.quantity:
                del self._holdings[fill.strategy, instrument.id]
        return holding

    def book_funding(self, holding: Holding, amount: Decimal) -> None:
        """Book funding to the cash; what the free cash cannot pay comes out of the position's margin."""
        quote = self.wallet(holding.instrument.venue, holding.instrument.quote)
        quote.total += amount
        holding.funding += amount
        short = min(max(-quote.free, ZERO), holding.margin)
        if amount < 0 and short:
            holding.margin -= short
            quote.reserved -= short
            holding.refresh_liquidation()

    def balances(self) -> dict[tuple[str, str], Balance]:
        """Return every balance by (venue, asset)."""
        return {key: Balance(key[1], wallet.total, wallet.reserved) for key, wallet in self._wallets.items()}

    def positions(self) -> dict[tuple[str, str], Position]:
        """Return every open position by (strategy, instrument)."""
        return {key: holding.as_position() for key, holding in self._holdings.items() if holding.quantity}


class FeeSchedule:
    """The fee rates of one venue; the tier follows the value traded in the 30 days before a fill."""

    def __init__(self, config: VenueConfig) -> None:
        self._tiers = [
            (to_decimal(tier.volume), to_decimal(tier.taker), to_decimal(tier.maker))
            for tier in sorted(config.fees, key=lambda tier: tier.volume)
        ]
        self._traded: deque[tuple[int, Decimal]] = deque()
        self._volume = ZERO

    def rate(self, ts: int, is_maker: bool) -> Decimal:
        """Return the fee as a share of the value of a fill at `ts`."""
        traded = self._traded
        while traded and traded[0][0] <= ts - _WINDOW_NS:
            self._volume -= traded.popleft()[1]
        held = self._tiers[0]
        for tier in self._tiers[1:]:
            if tier[0] <= self._volume:
                held = tier
        return held[2 if is_maker else 1]

    def record(self, ts: int, notional: Decimal) -> None:
        """Count a fill towards the tier."""
        if len(self._tiers) > 1:
            self._traded.append((ts, notional))
            self._volume += notional
