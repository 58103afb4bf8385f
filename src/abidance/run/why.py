"""Why an order was sent and why it filled, told from a replica: facts where there are any, else a sentence.

Owns who or what stands behind each kind of order, and by which rule its size and its price came about. What an exit
has no signal or sizing of its own for, the entry that it closes has: it is named by its fill.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from abidance.engine.manual import MANUAL_TAG
from abidance.execution.exits import PROTECTIVE
from abidance.model.account import OWNER
from abidance.model.command import Amend, Submit
from abidance.model.event import KILL_SWITCH, Control, ControlAction, OrderFilled
from abidance.model.intent import Target
from abidance.model.market import BarSlice, BookSnapshot, Quote, Trade
from abidance.model.money import nearest_to, to_decimal, truncate_to
from abidance.model.order import Fill, Order, OrderType, Purpose, Side
from abidance.model.outcome import Recorded
from abidance.portfolio.ledger import fill_ref
from abidance.run.adjusting import ADJUSTMENT
from abidance.run.byhand import REF as BY_HAND
from abidance.run.lives import Decision, Occasion
from abidance.run.replica import Replica

_WISHED = frozenset({Purpose.ENTRY, Purpose.SIGNAL, Purpose.REBALANCE})
_SIZED = frozenset({Purpose.ENTRY, Purpose.REBALANCE})
_LEFT_AT_MARKET = frozenset({"unprotected", "stop_gone"})
"""Notices that say why what a stop protected was closed at market."""
_TOUCHED = {
    Purpose.STOP_LOSS: "The stop loss",
    Purpose.TRAILING_STOP: "The trailing stop",
    Purpose.BREAK_EVEN: "The stop at break-even",
    Purpose.TAKE_PROFIT: "The take-profit",
}


class Part(StrEnum):
    """What belongs to an explanation: each is there, or a sentence stands in its place."""

    TRIGGER = "trigger"
    SEEN = "seen"
    SIGNAL = "signal"
    SIZING = "sizing"
    VERDICT = "verdict"
    REQUEST = "request"
    STEPS = "steps"
    LEDGER = "ledger"


class Reasons(NamedTuple):
    """Why an order was sent, or one of its fills came to be.

    `cause` says who or what wanted it, `rule` what set the price of an exit that waited, `entry` is the `ref` of the
    fill that opened what it closes. `wish` is the decision that holds `signal`; `is_sized` says that a rule of the
    strategy sized it there. `instead` has a sentence for every part that is not there.
    """

    cause: str
    trigger: Recorded | None
    seen: BarSlice | Trade | Quote | BookSnapshot | None
    signal: Target | None
    wish: Decision | None
    is_sized: bool
    rule: str
    entry: str
    instead: dict[Part, str]


def reasons(replica: Replica, order: Order | None, fill: Fill | None) -> Reasons:
    """Return why an order of the run was sent, or a fill came to be: one of the two is told."""
    if order is not None and replica.lives.decision(order.id) is not None:
        return _Ordered(replica, order, fill).reasons()
    assert fill is not None
    return _unasked(replica, fill)


# --- fills that no order of the run asked for


def _unasked(replica: Replica, fill: Fill) -> Reasons:
    occasion = replica.lives.filled_upon(fill)
    adjusted = _adjustment(replica, fill.order_id)
    venue = fill.instrument.rpartition("@")[2]
    quantity = f"{_plain(fill.quantity)} {_base(fill.instrument)}"
    if fill.purpose is Purpose.LIQUIDATION:
        cause = f"{venue} itself closed the position: its margin did not suffice any more."
    elif adjusted is not None:
        cause = _adjusted(adjusted)
    elif fill.order_id.startswith(BY_HAND):
        cause = "The owner of the account sold or withdrew by hand what a strategy held: it went over to him."
    elif fill.strategy == OWNER:
        cause = f"The owner of the account traded it at {venue}, outside this run."
    else:
        cause = f"{venue} told of it, and the run has no order on record that it belongs to."
    return Reasons(
        cause=cause,
        trigger=adjusted,
        seen=occasion.seen,
        signal=None,
        wish=None,
        is_sized=False,
        rule="",
        entry="" if fill.strategy == OWNER else _closed_by(fill.side, occasion),
        instead={
            **({} if adjusted else {Part.TRIGGER: f"The run decided nothing. {cause}"}),
            **({} if occasion.seen else {Part.SEEN: _unseen(replica)}),
            Part.SIGNAL: f"No strategy wished it. {cause}",
            Part.SIZING: f"No rule of the run sized it: {quantity} is what was told and booked.",
            Part.VERDICT: "Risk was not asked: it was told when it had happened.",
            Part.REQUEST: "The run asked for nothing.",
            Part.STEPS: "No order of the run has a life to tell: the fill alone was told.",
            **({Part.LEDGER: unbooked} if (unbooked := _unbooked(replica, (fill,))) else {}),
        },
    )


def _adjustment(replica: Replica, name: str) -> Control | None:
    """Return the order to bring books in line that something was booked by, told by its name."""
    number = name.removeprefix(ADJUSTMENT).partition(" ")[0]
    if not name.startswith(ADJUSTMENT) or not number.isdecimal():
        return None
    found = [
        each for seq, each in replica.controls if each.action is ControlAction.ADJUST and seq <= int(number)
    ]
    return found[-1] if found else None


def _adjusted(control: Control) -> str:
    reason = control.values.get("reason")
    return f"{control.actor or 'Somebody'} brought our books in line with the account{f': {reason}' if reason else ''}."


# --- orders of the run


class _Ordered:
    """Tells of one order of the run, and of one of its fills if that is what is asked about."""

    def __init__(self, replica: Replica, order: Order, fill: Fill | None) -> None:
        self._replica, self._order, self._request = replica, order, order.request
        self._fill = fill
        lives = replica.lives
        decision, sent_upon = lives.decision(order.id), lives.sent_upon(order.id)
        assert decision is not None
        assert sent_upon is not None
        self._decision = decision
        fills = lives.fills_of(order.id)
        told = fill or (fills[-1] if fills else None)
        self._seen = None if told is None else lives.filled_upon(told).seen
        self._fills, self._has_filled = fills, bool(fills)
        # An exit that waits follows the position until it fills; one at market is as large as what was held then.
        first = lives.filled_upon(fills[0]) if fills and self._waits else sent_upon
        self._stand = first.stand
        self._entry = _closed_by(order.request.side, first)
        self._purpose = replica.purpose(order) if told is None else told.purpose
        self._instrument = replica.state.instruments[order.request.instrument]
        self._is_manual = order.request.tag == MANUAL_TAG

    @property
    def _waits(self) -> bool:
        return self._request.type is not OrderType.MARKET

    def reasons(self) -> Reasons:
        """Return them."""
        wish = None
        if self._request.purpose in _WISHED and not self._is_manual:
            wish = self._replica.lives.wish(self._order.id)
        signal = None if wish is None else self._signal(wish)
        is_sized = signal is not None and self._request.purpose in _SIZED
        cause = self._cause(signal)
        if self._fill is not None and (control := _adjustment(self._replica, self._fill.id)):
            cause = f"{cause} The venue never told of this fill. {_adjusted(control)}"
        instead: dict[Part, str] = {}
        if self._decision.trigger is None:
            instead[Part.TRIGGER] = "It was the first thing on record."
        if self._seen is None:
            instead[Part.SEEN] = _unseen(self._replica) if self._has_filled else self._unfilled()
        if signal is None:
            instead[Part.SIGNAL] = self._unwished()
        if not is_sized:
            instead[Part.SIZING] = self._size()
        if unbooked := _unbooked(self._replica, (self._fill,) if self._fill else self._fills):
            instead[Part.LEDGER] = unbooked
        return Reasons(
            cause,
            self._decision.trigger,
            self._seen,
            signal,
            wish,
            is_sized,
            self._rule(),
            self._entry,
            instead,
        )

    def _signal(self, wish: Decision) -> Target | None:
        """Return what was wished of the order's place: at its own instrument, or at the one it was routed from."""
        routes = self._replica.config.routing.routes
        name, id = self._request.strategy, self._request.instrument
        wishes = [each for each in wish.decided.intents if isinstance(each, Target) and each.strategy == name]
        own = [each for each in wishes if id in (each.instrument, *routes.get(each.instrument, ()))]
        return own[-1] if own else None

    # --- who or what

    def _cause(self, signal: Target | None) -> str:
        strategy = self._request.strategy
        if self._is_manual:
            return f"{self._person()} placed it by hand."
        if self._request.purpose in PROTECTIVE:
            return self._protected()
        if self._purpose is Purpose.TIME:
            wish = self._stand.protection
            bars = "as many" if wish is None or wish.max_bars is None else wish.max_bars
            return f"The position was held for {bars} bars, the most that its entry allowed."
        if self._purpose is Purpose.FLATTEN:
            return self._flattened()
        if signal is not None:
            return f"{strategy} wished to be {_wished(signal)}.{self._goes_on()}"
        if self._purpose is Purpose.SIGNAL and isinstance(self._decision.trigger, OrderFilled):
            return "An entry that had been taken back filled nevertheless, and what it brought is closed."
        return f"{strategy} stated the order itself."

    def _goes_on(self) -> str:
        """Say of an order that was not sent in the step of its wish what it goes on with."""
        if self._request.part:
            return f" This is part {self._request.part} of an entry that is worked."
        is_at_once = self._replica.lives.wish(self._order.id) == self._decision
        return "" if is_at_once else " That was before: this order goes on with it."

    def _protected(self) -> str:
        name = _TOUCHED.get(self._purpose, "The exit")
        if self._waits:
            return f"{name} was touched." if self._has_filled else f"{name} waits for its price."
        texts = [each.text for each in self._decision.decided.notices if each.code in _LEFT_AT_MARKET]
        return texts[0] if texts else f"{name} came to nothing: what it protected is closed at market."

    def _flattened(self) -> str:
        trigger = self._decision.trigger
        if not isinstance(trigger, Control):
            return "What was to be closed was not closed at the first attempt: it is tried again."
        if trigger.actor == KILL_SWITCH:
            return "The kill switch was thrown, and closes what is held."
        if trigger.action is ControlAction.KILL:
            return f"{self._person()} threw the kill switch, and closes what is held."
        return f"{self._person()} had the positions of {self._request.strategy} closed."

    def _person(self) -> str:
        trigger = self._decision.trigger
        return (trigger.actor if isinstance(trigger, Control) else "") or "A person"

    # --- in the place of what is not there

    def _unwished(self) -> str:
        if self._is_manual:
            return f"No strategy wished it: {self._person()} did."
        if self._request.purpose in _WISHED:
            return "The strategy stated an order and no wish."
        if self._request.purpose in PROTECTIVE or self._purpose is Purpose.TIME:
            return "An exit that protects follows no signal of its own: the entry's was the last word."
        return f"No strategy wished it. {self._flattened()}"

    def _size(self) -> str:
        quantity, held = self._request.quantity, abs(self._stand.held)
        unit = self._instrument.base
        closes = self._request.reduce_only or self._request.purpose not in _SIZED
        if closes and held:
            whole = truncate_to(held, self._instrument.lot)
            if quantity >= whole:
                return f"Closes what is held: {_plain(quantity)} {unit}."
            return f"Closes {_plain(quantity)} of the {_plain(held)} {unit} that are held."
        who = self._person() if self._is_manual else self._request.strategy
        return f"{who} said how much: {_plain(quantity)} {unit}."

    def _unfilled(self) -> str:
        return "It filled nothing." if self._order.state.is_closed else "It has filled nothing yet."

    # --- the price of an exit that waits

    def _rule(self) -> str:
        request, wish, entry = self._request, self._stand.protection, self._stand.price
        if request.purpose not in PROTECTIVE or not self._waits:
            return ""
        prices = self._prices()
        at = f"{_plain(prices[-1])} {self._instrument.quote}"
        name = _TOUCHED.get(self._purpose, "The exit")
        if wish is None:
            whose = self._person() if self._is_manual else self._request.strategy
            return f"{name} stands where {whose} put it: at {at}."
        below, above = ("below", "above") if request.side is Side.SELL else ("above", "below")
        base = f"the entry at {_plain(nearest_to(entry, self._instrument.tick))}"
        if self._purpose is Purpose.TAKE_PROFIT and wish.take_profit is not None:
            return f"{name} stands {self._away(wish.take_profit)} {above} {base}: at {at}."
        if self._purpose is Purpose.BREAK_EVEN and wish.break_even is not None:
            return (
                f"The stop went to {base} once the price had come {self._away(wish.break_even)} {above} it."
            )
        if self._purpose is Purpose.TRAILING_STOP and wish.trailing is not None:
            return f"The trailing stop follows the best price since {base}, {self._away(wish.trailing)} behind it when it was set: {self._moved(prices)}."
        if wish.stop is not None:
            return f"{name} stands {self._away(wish.stop)} {below} {base}: at {at}."
        return f"{name} stands at {at}, measured from {base}."

    def _prices(self) -> list[Decimal]:
        """Return where the order stood, one after the other."""
        found: list[Decimal] = []
        for each in self._replica.lives.steps(self._order.id):
            if self._fill is not None and each.ts > self._fill.ts:
                break
            if isinstance(each.event, Submit | Amend):
                wish = each.event.request if isinstance(each.event, Submit) else each.event
                price = wish.trigger or wish.price
                if price is not None and price != (found[-1] if found else None):
                    found.append(price)
        return found

    def _away(self, distance: float) -> str:
        exact = nearest_to(to_decimal(distance), self._instrument.tick)
        part = f"{100 * distance / float(self._stand.price):.3g} %" if self._stand.price else ""
        return f"{_plain(exact)} {self._instrument.quote}{f' ({part})' if part else ''}"

    def _moved(self, prices: list[Decimal]) -> str:
        quote = self._instrument.quote
        if len(prices) == 1:
            return f"at {_plain(prices[0])} {quote}"
        times = "once" if len(prices) == 2 else f"{len(prices) - 1} times"
        return f"moved {times}, from {_plain(prices[0])} to {_plain(prices[-1])} {quote}"


def _closed_by(side: Side, occasion: Occasion) -> str:
    """Return the fill that opened what something on a side closes; empty when it closes nothing."""
    return occasion.stand.entry if occasion.stand.held * side.sign < 0 else ""


def _unbooked(replica: Replica, fills: Sequence[Fill]) -> str:
    """Return why nothing is booked of fills; empty when something is."""
    if not fills:
        return "Nothing has filled, so that nothing is booked."
    if any(replica.portfolio.ledger.explain(fill_ref(each)) for each in fills):
        return ""
    return "No money moved: a contract is opened without payment, and no fee was taken."


def _unseen(replica: Replica) -> str:
    if replica.header.mode == "backtest":
        return "The version that wrote this record left out in which bar it filled: run the backtest again."
    return "No price of it had been seen by then."


def _wished(signal: Target) -> str:
    if not signal.strength:
        return "out"
    return (
        f"{'long' if signal.strength > 0 else 'short'} with {100 * abs(signal.strength):.3g} % of its stake"
    )


def _plain(value: Decimal) -> str:
    return f"{value.normalize():,f}"


def _base(instrument: str) -> str:
    return instrument.partition("/")[0]


__all__ = ["Part", "Reasons", "reasons"]
