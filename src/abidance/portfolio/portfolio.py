"""All holdings of a run: who holds what since when, what it earned, what everything is worth now.

Owns positions per strategy and instrument, round trips and the valuation of the run; wallets are the ledger's inside
it. One identity holds at any moment: equity = what the run itself owns less what it owes
(`funds`) + the profit of each strategy.
Refuses to value what has no price: it counts as zero and is reported (`unpriced`, `unvalued`), but for fees of which
it is told what they stand for.
"""

from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from decimal import Decimal, localcontext
from math import inf

import msgspec

from abidance.model.account import OWNER, Position, RoundTrip
from abidance.model.errors import InvariantError
from abidance.model.event import BalanceChanged, DebtChanged, FundingPaid, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO, to_decimal
from abidance.model.order import Fill, Side
from abidance.portfolio.holding import Holding, Movement
from abidance.portfolio.ledger import EXACT, Ledger, check_fill, fill_ref
from abidance.portfolio.owner import Owner
from abidance.portfolio.prices import Prices
from abidance.portfolio.shares import shared_payment


class _Book:
    """What one strategy's closed business left by quote asset, its open holdings and its results."""

    __slots__ = ("floats", "held", "results", "settled")

    def __init__(self) -> None:
        self.settled: dict[str, Decimal] = {}
        self.floats: dict[str, float] = {}
        self.held: dict[str, Holding] = {}
        self.results: list[float] = []


class Portfolio:
    """Positions, profit and equity of a run in its `currency`; `leverage` is per strategy, for perpetuals.

    `mark(instrument, price)` keeps a last price; what is no price (zero, NaN, infinite) is passed over. Valuations are
    float; quantities, costs and profits are Decimals underneath. An asset that only pays fees (BNB) is sold to the
    strategy from the run's own funds at its last price, so that its later price is the run's affair. Without a price
    it counts as bought at that moment for what the fee stands for, if that is told (`bought`, by venue and asset).

    What the `owner` of the accounts does himself is booked beside all that and touches none of it.

    A spot sale that leaves less than one lot closes the position: the dust, which no order could sell, moves to the
    run's own funds at the price of the sale (`dust` says how much).
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        currency: str,
        leverage: Mapping[str, float] | None = None,
        ledger: Ledger | None = None,
        round_trips: MutableSequence[RoundTrip] | None = None,
    ) -> None:
        self.ledger = Ledger() if ledger is None else ledger
        self.owner = Owner(self.ledger)
        self.round_trips: MutableSequence[RoundTrip] = [] if round_trips is None else round_trips
        self.unpriced: dict[str, Decimal] = {}
        self.bought: dict[tuple[str, str], dict[str, Decimal]] = {}
        self.dust: dict[tuple[str, str], Decimal] = {}
        self._instruments = instruments
        self._currency = currency
        self._leverage: Mapping[str, float] = leverage if leverage is not None else {}
        self._prices = Prices(instruments.values(), currency)
        # Called for every bar: the bound method itself, so that a mark costs one call.
        self.mark = self._prices.mark
        self._marks = self._prices.last
        self._books: dict[str, _Book] = {}
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._held: dict[tuple[str, str], Holding] = {}
        self._positions: dict[tuple[str, str], Position] = {}
        self._last_trip: dict[tuple[str, str], tuple[int, int]] = {}
        # Cash by asset as if each open position had been closed at its own mean price: spot and perpetuals alike.
        self._pool: dict[str, Decimal] = {}
        self._floats: dict[str, float] = {}

    def apply(
        self, event: OrderFilled | FundingPaid | BalanceChanged | DebtChanged, tag: str = ""
    ) -> RoundTrip | None:
        """Book what happened and return the round trip that it closed, if any; what was booked before counts once.

        `tag` (of the order) is kept with the round trip. Raises InvariantError for an instrument the run does not
        know and for amounts that cannot be; nothing is booked then.
        """
        with localcontext(EXACT):
            if isinstance(event, OrderFilled):
                return self._apply_fill(event.fill, tag)
            if isinstance(event, FundingPaid):
                self._apply_funding(event)
            elif isinstance(event, DebtChanged):
                self._earn(event.asset, -(self.ledger.post_debt(event) or ZERO))
            else:
                amount = self.ledger.post_external(event)
                if not event.is_owners:
                    self._earn(event.asset, amount)
        return None

    # --- valuation: called for every bar ---

    def equity(self) -> float:
        """Return what everything is worth at the last marks, in the run's currency."""
        return self._worth(self._floats, self._held.values())

    def profit_of(self, strategy: str) -> float:
        """Return what a strategy has earned since the start, realised and not, net of fees and funding, in currency."""
        book = self._books.get(strategy)
        return self._worth(book.floats, book.held.values()) if book is not None else 0.0

    def funds(self) -> float:
        """Return what the run itself owns at the last marks: money from outside, stock for fees and dust."""
        own = dict(self._pool)
        with localcontext(EXACT):
            for book in self._books.values():
                for asset, amount in book.settled.items():
                    self._add(own, asset, -amount)
        return self._worth(_mirror(own), ())

    def worth(self, asset: str) -> float:
        """Return what one unit of an asset is worth in currency at the last marks; zero when no instrument says."""
        return self._prices.worth(asset)

    def value(self, venue: str, asset: str) -> float:
        """Return what the equity counts for the wallet of an asset at a venue, in currency at the last marks."""
        amounts = dict(self.bought.get((venue, asset), {}))
        with localcontext(EXACT):
            self._add(amounts, asset, self.ledger.balance(venue, asset))
        return self._worth(_mirror(amounts), ())

    def bands(self, floor: float, peak: float) -> dict[str, tuple[float, float]] | None:
        """Return between which marks of each held instrument the equity surely stays above `floor` and up to `peak`.

        None when that cannot be told: the equity is not between them, or something is worth what other prices say.
        """
        if any(asset != self._currency for asset in self._floats):
            return None
        sizes: dict[str, float] = {}
        for held in self._held.values():
            before = sizes.setdefault(held.instrument, 0.0)
            if held.quote != self._currency or before * held.size < 0:
                return None
            sizes[held.instrument] += held.size
        equity = self.equity()
        if not (floor < equity <= peak and sizes):
            return {} if floor < equity <= peak else None
        noise = 1e-9 * abs(equity)
        rise, fall = (max(0.0, room - noise) / len(sizes) for room in (peak - equity, equity - floor))
        found = {}
        for instrument, size in sizes.items():
            mark, up, down = self._marks[instrument], rise / abs(size), fall / abs(size)
            found[instrument] = (mark - down, mark + up) if size > 0 else (mark - up, mark + down)
        return found

    def exposure(self) -> float:
        """Return the gross notional of all positions at the last marks, in currency; longs do not offset shorts."""
        total, marks, home = 0.0, self._marks, self._currency
        for held in self._held.values():
            value = abs(held.size) * marks[held.instrument]
            total += value if held.quote == home else value * self._prices.worth(held.quote)
        return total

    def exposure_of(
        self,
        *,
        asset: str | None = None,
        venue: str | None = None,
        instrument: str | None = None,
        strategy: str | None = None,
    ) -> float:
        """Return the gross notional, in currency, of the positions that meet every condition given.

        `asset` is the base asset.
        """
        total = 0.0
        for held in self._held.values():
            traded = self._instruments[held.instrument]
            if (
                instrument in (None, held.instrument)
                and strategy in (None, held.strategy)
                and asset in (None, traded.base)
                and venue in (None, traded.venue)
            ):
                total += abs(held.size) * self._marks[held.instrument] * self._prices.worth(held.quote)
        return total

    def used_margin(self, venue: str) -> float:
        """Return the margin that a venue's perpetual positions lock, in currency: entry notional over leverage."""
        total = 0.0
        for held in self._held.values():
            traded = self._instruments[held.instrument]
            if traded.is_perpetual and traded.venue == venue:
                notional = abs(held.size) * held.entry * self._prices.worth(held.quote)
                total += notional / self._leverage.get(held.strategy, 1.0)
        return total

    def borrowed(self) -> float:
        """Return what everything owed is worth at the last marks, in currency; infinite for what has no price."""
        return sum(float(owed) * (self.worth(asset) or inf) for (_, asset), owed in self.ledger.owed.items())

    # --- holdings ---

    def position(self, strategy: str, instrument: str) -> Position:
        """Return a strategy's position, flat when it has none."""
        key = (strategy, instrument)
        found = self._positions.get(key)
        if found is None:
            found = self._positions[key] = Position(strategy, instrument)
        return found

    def open_positions(self) -> Sequence[Position]:
        """Return the positions that are not flat, in the order in which they were opened."""
        return [held.position for held in self._held.values()]

    def positions_of(self, instrument: str) -> Sequence[Position]:
        """Return the positions in an instrument that are not flat, in the order in which they were opened."""
        return [held.position for held in self._held.values() if held.instrument == instrument]

    def holders(self) -> set[str]:
        """Return the strategies that have a position."""
        return {held.strategy for held in self._held.values()}

    def balance(self, venue: str, asset: str) -> Decimal:
        """Return what the run's wallet at a venue holds of an asset; open orders and margin are not deducted."""
        return self.ledger.balance(venue, asset)

    def liquidation_price(self, strategy: str, instrument: str) -> Decimal | None:
        """Return the mark at which an isolated perpetual position is liquidated; None for flat, spot, or never.

        With margin = entry / leverage and m = the instrument's maintenance rate, both per unit of notional:
        long = entry * (1 - 1 / leverage + m), short = entry * (1 + 1 / leverage - m). Fees are not counted.
        """
        held = self._held.get((strategy, instrument))
        traded = self._instruments.get(instrument)
        if held is None or traded is None or not traded.is_perpetual:
            return None
        distance = 1 / to_decimal(self._leverage.get(strategy, 1.0)) - traded.maintenance
        price = held.position.average_price * (1 - distance if held.size > 0 else 1 + distance)
        return price if price > 0 else None

    # --- round trips ---

    def open_round_trips(self) -> tuple[RoundTrip, ...]:
        """Return the round trips that are still open, their `pnl` at the last marks."""
        trips: list[RoundTrip] = []
        with localcontext(EXACT):
            for held in self._held.values():
                unrealised = held.value_change(to_decimal(self._marks[held.instrument]))
                trips.append(held.trip(None, "", unrealised))
        return tuple(trips)

    def closed_results(self, strategy: str) -> Sequence[float]:
        """Return the net profit of each closed round trip as a share of its entry value, oldest first."""
        book = self._books.get(strategy)
        return book.results if book is not None else ()

    @property
    def unvalued(self) -> Mapping[str, Decimal]:
        """Return the run's amounts that equity counts as zero because no instrument prices their asset (yet)."""
        return {asset: n for asset, n in self._pool.items() if n and not self._prices.worth(asset)}

    # --- booking ---

    def _apply_fill(self, fill: Fill, tag: str) -> RoundTrip | None:
        instrument = self._instrument(fill.instrument)
        check_fill(fill, instrument)
        if fill_ref(fill) in self.ledger:
            return None
        if fill.strategy == OWNER:
            self.owner.fill(fill, instrument)
            return None
        if fill.instrument not in self._marks:
            self.mark(fill.instrument, float(fill.price))
            self._marks.setdefault(fill.instrument, 0.0)
        holding = self._holding(fill.strategy, instrument)
        fee = self._fee_worth(fill, instrument)
        move = Movement(fill, self._moved(fill, instrument, holding), fee, tag)
        realised, trip = holding.apply(move)
        self.ledger.post_fill(fill, instrument, realised if instrument.is_perpetual else ZERO)
        self._settle(holding, realised - fee)
        if trip is not None:
            self._close(trip)
        return trip

    def _apply_funding(self, event: FundingPaid) -> None:
        instrument = self._instrument(event.instrument)
        owners = ZERO
        if not event.strategy:
            owners = self.owner.share(event.amount, instrument.id, self.positions_of(instrument.id))
        if not self.ledger.post_funding(event, instrument.venue, owners):
            return
        worth = amount = event.amount - owners
        if owners and not amount:
            return
        if event.asset != instrument.quote:
            worth = self._exchange(event.asset, amount, instrument, None)
        shares = {event.strategy: worth} if event.strategy else self._shares(instrument, worth)
        if not shares:
            self._earn(instrument.quote, worth)
        for strategy, share in shares.items():
            holding = self._holding(strategy, instrument)
            last = self._last_trip.get((strategy, event.instrument))
            if holding.quantity or last is None:
                holding.pay_funding(share)
            else:
                self._amend_trip(last, share)
            self._settle(holding, share)

    def _shares(self, instrument: Instrument, amount: Decimal) -> dict[str, Decimal]:
        """Return who bears a payment on the account's whole position: who holds it, else who last closed one."""
        found = shared_payment(amount, self.positions_of(instrument.id))
        closed = [(trip, strategy) for (strategy, id), trip in self._last_trip.items() if id == instrument.id]
        return found or ({max(closed)[1]: amount} if closed else {})

    def _moved(self, fill: Fill, instrument: Instrument, holding: Holding) -> Decimal:
        """Return how a fill moves the strategy's holding: less a fee in the base asset, and dust swept."""
        moved = fill.quantity * fill.side.sign
        if instrument.is_perpetual:
            return moved
        if fill.fee_asset == instrument.base:
            moved -= fill.fee
        held = holding.quantity
        rest = held + moved
        if fill.side is Side.BUY or held <= 0 or not rest or abs(rest) >= instrument.lot:
            return moved
        key = (fill.strategy, fill.instrument)
        self.dust[key] = self.dust.get(key, ZERO) + rest
        self._add(self._pool, instrument.base, rest)
        self._add(self._pool, instrument.quote, -rest * fill.price)
        return -held

    def _fee_worth(self, fill: Fill, instrument: Instrument) -> Decimal:
        """Return what a fee cost in quote units; of an asset without a price what it stands for, or zero, and noted."""
        if fill.fee_asset == instrument.quote or not fill.fee:
            return fill.fee
        if fill.fee_asset == instrument.base and not instrument.is_perpetual:
            return fill.fee * fill.price
        known = fill.price if fill.fee_asset == instrument.base else None
        if known is None and fill.fee_worth and self._prices.rate(fill.fee_asset, instrument.quote) is None:
            bought = self.bought.setdefault((instrument.venue, fill.fee_asset), {})
            self._add(bought, fill.fee_asset, fill.fee)
            self._add(bought, instrument.quote, -fill.fee_worth)
            return fill.fee_worth
        return -self._exchange(fill.fee_asset, -fill.fee, instrument, known)

    def _exchange(
        self, asset: str, amount: Decimal, instrument: Instrument, price: Decimal | None
    ) -> Decimal:
        """Take an amount of a third asset into the run's funds and return its worth in quote units, paid from them."""
        if price is None and (rate := self._prices.rate(asset, instrument.quote)) is not None:
            price = to_decimal(rate)
        if price is None:
            self.unpriced[asset] = self.unpriced.get(asset, ZERO) - amount
            price = ZERO
        worth = amount * price
        self._add(self._pool, asset, amount)
        self._add(self._pool, instrument.quote, -worth)
        return worth

    def _earn(self, asset: str, amount: Decimal) -> None:
        """Credit the run itself."""
        self._add(self._pool, asset, amount)
        self._floats = _mirror(self._pool)

    def _settle(self, holding: Holding, amount: Decimal) -> None:
        """Credit a strategy with `amount` in the holding's quote asset and renew everything derived from it."""
        book = self._books[holding.strategy]
        self._add(book.settled, holding.quote, amount)
        self._add(self._pool, holding.quote, amount)
        book.floats, self._floats = _mirror(book.settled), _mirror(self._pool)
        key = (holding.strategy, holding.instrument)
        self._positions[key] = holding.position
        if holding.quantity:
            self._held[key] = book.held[holding.instrument] = holding
        else:
            self._held.pop(key, None)
            book.held.pop(holding.instrument, None)

    def _close(self, trip: RoundTrip) -> None:
        results = self._books[trip.strategy].results
        self._last_trip[trip.strategy, trip.instrument] = (len(self.round_trips), len(results))
        self.round_trips.append(trip)
        results.append(_result(trip))

    def _amend_trip(self, last: tuple[int, int], funding: Decimal) -> None:
        """Add funding that was reported after the close to the round trip that owes it."""
        at, result_at = last
        trip = self.round_trips[at]
        trip = msgspec.structs.replace(trip, pnl=trip.pnl + funding, funding=trip.funding + funding)
        self.round_trips[at] = trip
        self._books[trip.strategy].results[result_at] = _result(trip)

    def _holding(self, strategy: str, instrument: Instrument) -> Holding:
        key = (strategy, instrument.id)
        found = self._holdings.get(key)
        if found is None:
            found = self._holdings[key] = Holding(strategy, instrument.id, instrument.quote)
            self._books.setdefault(strategy, _Book())
        return found

    def _instrument(self, name: str) -> Instrument:
        found = self._instruments.get(name)
        if found is None:
            raise InvariantError(
                f"An account event names {name}, which this run does not know.", "Report it."
            )
        return found

    def _worth(self, cash: Mapping[str, float], holdings: Iterable[Holding]) -> float:
        """Return cash and the open profit of holdings in currency; runs for every bar."""
        total, marks, home = 0.0, self._marks, self._currency
        for asset, amount in cash.items():
            total += amount if asset == home else amount * self._prices.worth(asset)
        for held in holdings:
            change = held.size * (marks[held.instrument] - held.entry)
            total += change if held.quote == home else change * self._prices.worth(held.quote)
        return total

    @staticmethod
    def _add(amounts: dict[str, Decimal], asset: str, amount: Decimal) -> None:
        amounts[asset] = amounts.get(asset, ZERO) + amount


def _mirror(amounts: Mapping[str, Decimal]) -> dict[str, float]:
    return {asset: float(amount) for asset, amount in amounts.items() if amount}


def _result(trip: RoundTrip) -> float:
    notional = trip.entry_price * trip.quantity
    return float(trip.pnl / notional) if notional else 0.0
