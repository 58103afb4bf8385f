"""Orders of accounts on the local exchange: what is asked, whether the money is there, what traded, and who is told.

They go through the same books as everybody's. The desk speaks no venue's language: it declines with a reason, and the
venue's teller finds the words. Stops wait here until a print touches them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import NamedTuple

from abidance.testing.exchange.accounts import ZERO, Account, Line
from abidance.testing.exchange.clearing import Clearing, settling
from abidance.testing.exchange.core import BUY, Force, Print
from abidance.testing.exchange.core import Order as Resting
from abidance.testing.exchange.market import Market
from abidance.testing.exchange.room import crowding

CLIENT = "client:"
_CENT = Decimal("1e-8")


class Why(StrEnum):
    """Why an order, or a change of one, is declined."""

    FUNDS = "funds"
    LOT = "lot"
    TICK = "tick"
    LEAST = "least"
    NOTIONAL = "notional"
    DUPLICATE = "duplicate"
    WOULD_TAKE = "would take"
    WOULD_TRIGGER = "would trigger"
    NO_DEPTH = "no depth"
    UNKNOWN = "unknown"
    HALTED = "halted"
    REDUCE = "reduce"
    MANY = "many"
    STOPS = "stops"


class Declined(Exception):  # noqa: N818 (an answer, not a mistake)
    """The desk's way to say no."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class State(StrEnum):
    """Where an order stands."""

    WAITING = "waiting"
    """A stop that was not touched yet."""
    OPEN = "open"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_working(self) -> bool:
        """Return True while it may still fill."""
        return self in (State.WAITING, State.OPEN, State.PARTIAL)


class Part(NamedTuple):
    """One execution of one order, with the fee that it cost."""

    id: int
    ts: int
    price: int
    lots: int
    fee: Decimal
    fee_asset: str
    is_maker: bool
    realised: Decimal = ZERO


@dataclass
class Ticket:
    """What an account wants: in ticks and lots; without a price it trades at market, with a trigger it waits.

    `rising` is on which side of the market the trigger lies, by default where a stop's does. An order that `closes`
    trades whatever is held once it is touched; one that `meets_own` trades with others of its account.
    """

    client_id: str
    side: int
    lots: int
    price: int | None = None
    trigger: int | None = None
    force: Force = Force.GTC
    rising: bool | None = None
    reduces: bool = False
    closes: bool = False
    meets_own: bool = False


@dataclass
class Placed:
    """An order of an account with its life; `id` is the venue's."""

    id: int
    account: Account
    market: Market
    ticket: Ticket
    ts: int
    state: State = State.OPEN
    updated: int = 0
    rising: bool = False
    locked: Decimal = ZERO
    resting: Resting | None = None
    is_self_trade: bool = False
    is_liquidation: bool = False
    sent: bool = False
    why: Why | None = None
    parts: list[Part] = field(default_factory=list)

    @property
    def filled(self) -> int:
        """Return the lots that traded."""
        return sum(part.lots for part in self.parts)

    @property
    def left(self) -> int:
        """Return the lots that did not."""
        return self.ticket.lots - self.filled

    @property
    def paid(self) -> Decimal:
        """Return price times quantity of what traded, in quote units."""
        unit = self.market.instrument.tick * self.market.instrument.lot
        return sum((part.price * part.lots for part in self.parts), 0) * unit


class News(NamedTuple):
    """Something happened to an order: `part` when it traded; or (without an order) a balance moved by hand."""

    account: Account
    order: Placed | None
    part: Part | None = None
    line: Line | None = None


class Entry(NamedTuple):
    """One line of what truly happened, in its order: how an order stood then, what of it traded, what money moved."""

    ts: int
    key: str
    order: int = 0
    client_id: str = ""
    state: State | None = None
    filled: int = 0
    part: Part | None = None
    line: Line | None = None


class Desk:
    """The orders of all accounts of one exchange.

    `hear` is told everything that happens, in its order, and `history` keeps it: nothing in it ever changes.
    `declined` is told why the rules of a market forbid an order. `horizon` is up to when orders are known to
    questions: a venue whose copies lag knows the newest not yet. A client's id may come again once its order has
    ended, unless the venue `remembers` them all. A post-only order that would trade is declined, or taken and ended
    where the venue `ends_post`; one at market that meets nobody, where it `ends_dry`. A stop that the market is
    past is declined, or trades at once where the venue `fires` it. Fees are paid in what was received, or in the
    quote asset where they are `fees_in_quote`. All accounts are of one `grade`.
    """

    def __init__(self, accounts: Sequence[Account], grade: str = "") -> None:
        self.accounts, self.grade = {account.key: account for account in accounts}, grade
        self.orders: dict[int, Placed] = {}
        self.history: list[Entry] = []
        self.horizon: int | None = None
        self.remembers = self.ends_post = self.ends_dry = self.fires = self.fees_in_quote = False
        self.clearing, self._next = Clearing(), 4_000_000
        self.hear: Callable[[News], None] = lambda _: None
        self.declined: Callable[[Why], None] = lambda _: None
        self._stops: dict[str, list[Placed]] = {}
        self._touched: list[Placed] = []

    # --- what accounts ask

    def place(self, account: Account, market: Market, ticket: Ticket, ts: int) -> Placed:
        """Take an order. Raises Declined; then nothing has changed."""
        try:
            self._check(account, market, ticket)
        except Declined as no:
            self.declined(no.why)
            raise
        order = Placed(self._next, account, market, ticket, ts, updated=ts)
        waits = ticket.trigger is not None
        if waits:
            order.rising = (ticket.side == BUY) if ticket.rising is None else ticket.rising
        is_past = waits and _is_touched(order, _last(market))
        if is_past and not self.fires:
            raise Declined(Why.WOULD_TRIGGER)
        crosses = ticket.force is Force.POST and self._would_take(market, ticket)
        if crosses and not self.ends_post:
            raise Declined(Why.WOULD_TAKE)
        is_dry = not (ticket.price or waits or market.book.available(ticket.side, None))
        if is_dry and not self.ends_dry:
            raise Declined(Why.NO_DEPTH)
        self._lock(order)
        self._next += 1
        self.orders[order.id] = order
        if waits:
            order.state = State.WAITING
            self._stops.setdefault(market.instrument.id, []).append(order)
            self._touched += [order] * is_past
        self._tell(News(account, order))
        if not waits and (crosses or is_dry):
            order.why = Why.WOULD_TAKE if crosses else Why.NO_DEPTH
            self._end(order, State.EXPIRED if crosses else State.CANCELLED, ts)
        elif not waits:
            self._send(order, ts)
        return order

    def cancel(self, order: Placed, ts: int, state: State = State.CANCELLED) -> None:
        """Take an order back. Raises Declined when it is not live."""
        if not order.state.is_working:
            raise Declined(Why.UNKNOWN)
        if order.resting is not None:
            order.market.book.cancel(order.resting.id)
        self._end(order, state, ts)

    def amend(
        self,
        order: Placed,
        ts: int,
        *,
        lots: int | None = None,
        price: int | None = None,
        trigger: int | None = None,
    ) -> None:
        """Change an order in place; it goes to the end of the queue. Raises Declined; then nothing has changed."""
        if not order.state.is_working:
            raise Declined(Why.UNKNOWN)
        old, rest = order.ticket, order.resting
        ticket = replace(old, lots=lots or old.lots, price=price or old.price, trigger=trigger or old.trigger)
        if ticket.lots <= order.filled:
            raise Declined(Why.LEAST)
        self._check(order.account, order.market, ticket, order)
        if ticket.force is Force.POST and self._would_take(order.market, ticket):
            raise Declined(Why.WOULD_TAKE)
        kept = order.locked
        self._unlock(order)
        order.ticket = ticket
        try:
            self._lock(order)
        except Declined:
            order.ticket = old
            order.account.lock(self._kept_asset(order), kept)
            order.locked = kept
            raise
        order.updated = ts
        if rest is not None:
            order.market.book.cancel(rest.id)
            order.resting = None
        self._tell(News(order.account, order))
        if rest is not None:
            self._send(order, ts)

    def lots_for(self, market: Market, side: int, value: Decimal) -> int:
        """Return how many lots so much of the quote asset trades now."""
        unit, lots = market.instrument.tick * market.instrument.lot, 0
        for price, there in market.book.levels(-side):
            taken = min(there, int(value / (price * unit)))
            lots, value = lots + taken, value - taken * price * unit
            if taken < there:
                break
        return lots

    def delist(self, market: Market, ts: int) -> None:
        """Trade an instrument no longer: what is open ends."""
        market.is_listed = False
        for order in live(list(self.orders.values())):
            if order.market is market:
                self.cancel(order, ts)

    def transfer(self, account: Account, asset: str, amount: Decimal, ts: int, why: str = "") -> None:
        """Let money come (positive) or go."""
        line = Line(ts, asset, amount, why or ("deposit" if amount > 0 else "withdrawal"))
        account.move(line)
        self._tell(News(account, None, line=line))

    def find(self, account: Account, *, id: int = 0, client_id: str = "") -> Placed | None:
        """Return an account's order by the venue's id or the newest by its own, as far as questions know it."""
        found = [e for e in self.of(account) if (e.id == id if id else e.ticket.client_id == client_id)]
        return found[-1] if found else None

    def of(self, account: Account, market: Market | None = None) -> list[Placed]:
        """Return an account's orders, oldest first, as far as questions know them."""
        asked = (e for e in self.orders.values() if e.account is account and market in (None, e.market))
        return [known for each in asked if (known := self._known(each)) is not None]

    def _known(self, order: Placed) -> Placed | None:
        """Return an order as questions know it: as it stood at the horizon, None where that is before it."""
        if self.horizon is None or order.ts > self.horizon:
            return order if self.horizon is None else None
        then = next((e for e in reversed(self.history) if e.order == order.id and e.ts <= self.horizon), None)
        if then is None or then.state is None:
            return order
        parts = [part for part in order.parts if part.ts <= self.horizon]
        return replace(order, state=then.state, updated=then.ts, parts=parts)

    # --- what the market does

    def on_print(self, market: Market, found: Print) -> None:
        """Book a print for the accounts that took part in it, and see whom it touches."""
        for side in (found.maker, found.taker):
            if side is not None and side.owner.startswith(CLIENT):
                self._settle(self.orders[int(side.owner[len(CLIENT) :])], found, is_maker=side is found.maker)
        waiting = self._stops.get(market.instrument.id)
        if waiting:
            self._touched += [each for each in waiting if _is_touched(each, found.price)]

    def release(self, ts: int) -> bool:
        """Send the stops that were touched; return whether there were any. Never while the book matches."""
        touched, self._touched = self._touched, []
        for order in touched:
            waiting = self._stops[order.market.instrument.id]
            if order in waiting:
                waiting.remove(order)
                order.state, order.updated, order.sent = State.OPEN, ts, True
                self._tell(News(order.account, order))
                self._send(order, ts)
        return self._watch_margins(ts) or bool(touched)

    def _watch_margins(self, ts: int) -> bool:
        """Pay fundings, end what can reduce no more, and take over what is not covered; True when that traded."""
        has_traded = False
        for account in self.accounts.values():
            if not account.positions:
                continue
            for line in self.clearing.fund(account, ts):
                self._tell(News(account, None, line=line))
            for order in list(live(self.orders.values())):
                if order.account is account and order.ticket.reduces and order.resting is not None:
                    held = self.clearing.position(account, order.market)
                    if held.lots * order.ticket.side >= 0:
                        self.cancel(order, ts, State.EXPIRED)
            if fallen := self.clearing.fallen(account):
                has_traded |= self.take_over(account, fallen, ts)
        return has_traded

    def take_over(self, account: Account, fallen: list[Market], ts: int) -> bool:
        """Take positions over: the orders there end, all is closed at market, insurance fills what is missing then."""
        is_cross = any(not self.clearing.position(account, each).is_isolated for each in fallen)
        for order in list(live(self.orders.values())):
            is_there = order.market in fallen or (is_cross and order.market.instrument.is_perpetual)
            if order.account is account and is_there:
                self.cancel(order, ts, State.EXPIRED)
        traded = 0
        for market in fallen:
            position = self.clearing.position(account, market)
            own, before = position.wallet, account.purse(settling(market)).total
            side, lots = (-1, position.lots) if position.lots > 0 else (1, -position.lots)
            ticket = Ticket(f"autoclose-{self._next}", side, lots, force=Force.IOC, reduces=True)
            order = Placed(self._next, account, market, ticket, ts, updated=ts, is_liquidation=True)
            if not market.book.available(side, None):
                continue
            self._next += 1
            self.orders[order.id] = order
            self._tell(News(account, order))
            self._send(order, ts)
            traded += order.filled
            lost = before - account.purse(settling(market)).total
            if position.is_isolated and not position.lots and lost > own:
                self.transfer(account, settling(market), lost - own, ts, "insurance")
        for asset in {settling(market) for market in fallen}:
            hole = account.purse(asset).total
            if hole < 0 and not any(
                settling(market) == asset for market, _ in self.clearing.open_of(account)
            ):
                self.transfer(account, asset, -hole, ts, "insurance")
        return traded > 0

    # --- inside

    def _tell(self, news: News) -> None:
        """Write down what happened, and let it be heard."""
        order, key = news.order, news.account.key
        if order is None:
            assert news.line is not None
            self.history.append(Entry(news.line.ts, key, line=news.line))
        else:
            told = (order.id, order.ticket.client_id, order.state, order.filled, news.part)
            self.history.append(Entry(order.updated, key, *told))
        self.hear(news)

    def _check(self, account: Account, market: Market, ticket: Ticket, amended: Placed | None = None) -> None:
        if not market.is_listed:
            raise Declined(Why.HALTED)
        if amended is None and ticket.client_id and self._is_used(account, ticket.client_id):
            raise Declined(Why.DUPLICATE)
        if ticket.reduces and self._reducible(account, market, ticket) <= 0 and ticket.trigger is None:
            raise Declined(Why.REDUCE)
        rests = ticket.trigger is not None or (ticket.price and ticket.force in (Force.GTC, Force.POST))
        if amended is None and rests and (full := self._crowding(account, market, ticket)):
            raise Declined(Why(full))
        if ticket.closes:
            return
        price = ticket.price or ticket.trigger or _last(market)
        breach = market.breach(ticket.lots, price, (ticket.price, ticket.trigger), reduces=ticket.reduces)
        if breach:
            raise Declined(Why(breach))

    def _crowding(self, account: Account, market: Market, ticket: Ticket) -> str:
        here = [o for o in live(self.orders.values()) if o.account is account and o.market is market]
        waiting = [each.state is State.WAITING for each in here]
        return crowding(market.instrument, self.grade, waiting, waits=ticket.trigger is not None)

    def _is_used(self, account: Account, client_id: str) -> bool:
        return any(
            each.account is account
            and each.ticket.client_id == client_id
            and (self.remembers or each.state.is_working)
            for each in self.orders.values()
        )

    def _reducible(self, account: Account, market: Market, ticket: Ticket) -> int:
        """Return how many lots an order could close."""
        if not market.instrument.is_perpetual:
            return 0
        return max(0, -ticket.side * self.clearing.position(account, market).lots)

    def _lock(self, order: Placed) -> None:
        """Keep what the order may spend. Raises Declined when it is not there."""
        ticket, rules, asset = order.ticket, order.market.instrument, self._kept_asset(order)
        amount = order.left * rules.lot
        if rules.is_perpetual:
            closing = self._reducible(order.account, order.market, ticket)
            opening = 0 if ticket.reduces or ticket.closes else max(0, order.left - closing)
            value = opening * rules.lot * self._worst(order.market, ticket) * rules.tick
            amount = (value / self.clearing.position(order.account, order.market).leverage).quantize(_CENT)
        elif ticket.side == BUY:
            amount *= self._worst(order.market, ticket) * rules.tick
            if self.fees_in_quote:
                amount *= 1 + max(order.account.maker, order.account.taker)
        if amount and self.clearing.available(order.account, asset) < amount:
            raise Declined(Why.FUNDS)
        order.account.lock(asset, amount)
        order.locked = amount

    def _kept_asset(self, order: Placed) -> str:
        rules = order.market.instrument
        if rules.is_perpetual:
            return settling(order.market)
        return rules.quote if order.ticket.side == BUY else rules.base

    def _worst(self, market: Market, ticket: Ticket) -> int:
        """Return the price in ticks at which a purchase counts against the balance."""
        if ticket.price is not None:
            return ticket.price
        if ticket.trigger is not None:
            return ticket.trigger + ticket.trigger // 20
        left, worst = ticket.lots, _last(market)
        for price, lots in market.book.levels(-ticket.side):
            worst, left = price, left - lots
            if left <= 0:
                break
        return worst

    def _would_take(self, market: Market, ticket: Ticket) -> bool:
        best = market.book.best(-ticket.side)
        return best is not None and ticket.price is not None and (ticket.price - best) * ticket.side >= 0

    def _send(self, order: Placed, ts: int) -> None:
        """Let an order meet the book."""
        ticket, owner = order.ticket, f"{CLIENT}{order.id}"
        order.sent = True
        if ticket.reduces or ticket.closes:
            held = self._reducible(order.account, order.market, ticket)
            ticket.lots = order.filled + (held if ticket.closes else min(order.left, held))
            if not order.left:
                self._end(order, State.EXPIRED, ts)
                return
        self._step_aside(order, ts)
        answer = order.market.book.submit(ts, owner, ticket.side, order.left, ticket.price, ticket.force)
        if answer.order.id in order.market.book.orders:
            order.resting = answer.order
        elif order.state.is_working:
            self._end(order, State.EXPIRED, ts)

    def _step_aside(self, order: Placed, ts: int) -> None:
        """End the orders of the same account that this one would meet, unless it may."""
        left, ticket = 0 if order.ticket.meets_own else order.left, order.ticket
        for resting in list(order.market.book.resting(-ticket.side)):
            assert resting.price is not None
            if left <= 0 or (ticket.price is not None and (resting.price - ticket.price) * ticket.side > 0):
                return
            name = resting.owner.removeprefix(CLIENT)
            own = None if name == resting.owner else self.orders.get(int(name))
            if own is not None and own.account is order.account:
                own.is_self_trade = True
                self.cancel(own, ts, State.EXPIRED)
            else:
                left -= resting.left

    def _settle(self, order: Placed, found: Print, *, is_maker: bool) -> None:
        rules, account, ticket = order.market.instrument, order.account, order.ticket
        quantity = found.lots * rules.lot
        value = found.price * rules.tick * quantity
        if rules.is_perpetual:
            self._clear(order, found, value, is_maker=is_maker)
            return
        got, gave = (quantity, value) if ticket.side == BUY else (value, quantity)
        got_asset, gave_asset = (rules.base, rules.quote) if ticket.side == BUY else (rules.quote, rules.base)
        fee, fee_asset = self._fee(order, got, got_asset, value, is_maker=is_maker)
        part = self._take_part(order, found, fee, fee_asset, is_maker=is_maker)
        kept = gave if ticket.side != BUY else min(order.locked, self._kept(order, found.lots))
        account.lock(gave_asset, -kept)
        order.locked -= kept
        account.move(Line(found.ts, gave_asset, -gave, "trade", order.id, found.id))
        account.move(Line(found.ts, got_asset, got, "trade", order.id, found.id))
        if fee:
            account.move(Line(found.ts, fee_asset, -fee, "fee", order.id, found.id))
        if not order.left:
            self._unlock(order)
            order.resting = None
        self._tell(News(account, order, part))

    def _clear(self, order: Placed, found: Print, value: Decimal, *, is_maker: bool) -> None:
        """Book an execution of a perpetual."""
        account, market, asset = order.account, order.market, settling(order.market)
        fee = (value * (account.maker if is_maker else account.taker)).quantize(_CENT)
        part = self._take_part(order, found, fee, asset, is_maker=is_maker)
        for line in self.clearing.fund(account, found.ts):
            self._tell(News(account, None, line=line))
        kept = min(order.locked, self._kept(order, found.lots))
        account.lock(asset, -kept)
        order.locked -= kept
        signed = order.ticket.side * found.lots
        part = part._replace(
            realised=self.clearing.trade(account, market, signed, found.price, (found.ts, order.id, found.id))
        )
        order.parts[-1] = part
        if fee:
            account.move(Line(found.ts, asset, -fee, "fee", order.id, found.id))
        if not order.left:
            self._unlock(order)
            order.resting = None
        self._tell(News(account, order, part))

    def _take_part(
        self, order: Placed, found: Print, fee: Decimal, fee_asset: str, *, is_maker: bool
    ) -> Part:
        part = Part(found.id, found.ts, found.price, found.lots, fee, fee_asset, is_maker)
        order.parts.append(part)
        order.state = State.PARTIAL if order.left else State.FILLED
        order.updated = found.ts
        return part

    def _kept(self, order: Placed, lots: int) -> Decimal:
        """Return what a purchase keeps for so many of its lots."""
        left = order.left + lots
        if lots >= left:
            return order.locked
        return (order.locked * lots / left).quantize(_CENT, rounding=ROUND_DOWN)

    def _fee(
        self, order: Placed, got: Decimal, got_asset: str, value: Decimal, *, is_maker: bool
    ) -> tuple[Decimal, str]:
        account = order.account
        rate = account.maker if is_maker else account.taker
        if account.fee_asset and account.purse(account.fee_asset).free >= value * rate / 500:
            return (value * rate / 500).quantize(Decimal("1e-8")), account.fee_asset
        if self.fees_in_quote:
            return (value * rate).quantize(_CENT), order.market.instrument.quote
        return (got * rate).quantize(Decimal("1e-8")), got_asset

    def _unlock(self, order: Placed) -> None:
        order.account.lock(self._kept_asset(order), -order.locked)
        order.locked = ZERO

    def _end(self, order: Placed, state: State, ts: int) -> None:
        waiting = self._stops.get(order.market.instrument.id, [])
        if order in waiting:
            waiting.remove(order)
        order.state, order.updated, order.resting = state, ts, None
        self._unlock(order)
        self._tell(News(order.account, order))


def live(orders: Iterable[Placed]) -> Iterator[Placed]:
    """Yield the orders that may still fill."""
    return (each for each in orders if each.state.is_working)


def _is_touched(order: Placed, price: int) -> bool:
    trigger = order.ticket.trigger
    assert trigger is not None
    return price >= trigger if order.rising else price <= trigger


def _last(market: Market) -> int:
    return market.tape.price[-1] if len(market.tape) else 0
