"""From intents to commands: sizing, the gate's verdict, the order. Nothing leaves the engine by another way.

`Actions` collects what one step led to (intents, verdicts, commands, notices) until the engine takes it away.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from math import inf

import msgspec

from abidance.engine.manual import MANUAL_TAG
from abidance.engine.routing import Routes
from abidance.engine.state import State
from abidance.execution.algos import ENDED, Algos
from abidance.execution.exits import STOPS, exit_request
from abidance.model.account import Position
from abidance.model.command import Command
from abidance.model.errors import StrategyError
from abidance.model.event import Event
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import AmendRequest, Basket, CancelRequest, Intent, Target, TimerRequest
from abidance.model.money import ZERO, nearest_to, to_decimal, truncate_to
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Purpose, Side
from abidance.model.outcome import Approved, Notice, Outcome, RefusalCode, Refused, Verdict
from abidance.risk.breaker import Breakers
from abidance.risk.gate import Gate
from abidance.risk.sizing import size
from abidance.risk.state import Standing, TradingState, strictest

ATTEMPTS = 3
"""How often an exit at market that came to nothing is sent again, once a bar."""

_BY_SIGNAL = frozenset({Purpose.SIGNAL, Purpose.REBALANCE})


class Actions:
    """What is done about intents in one run, and what the step in hand has led to so far.

    `order_id` makes the client order id of the n-th order. `stopped` strategies may send nothing new, `paused` ones
    may only leave. `aims` holds the side (+1, 0, -1) that was last wished of a place (strategy, instrument), `owed` the
    places whose exit at market came to nothing, with its purpose and the attempts since.
    """

    def __init__(self, state: State, gate: Gate, breakers: Breakers, order_id: Callable[[int], str]) -> None:
        self.exits = state.exits
        self.algos = Algos(state.orders, state.pricing, self._given_up)
        self.stopped: set[str] = set(state.strategies)
        self.paused: set[str] = set()
        self.aims: dict[tuple[str, str], int] = {}
        self.owed: dict[tuple[str, str], tuple[Purpose, int]] = {}
        self.eventful = False
        self._replaced: dict[str, int] = {}
        self._successors: dict[str, OrderRequest] = {}
        self._state = state
        self.routes = Routes(state, gate, self.standing, state.routing)
        self._gate = gate
        self._breakers = breakers
        self._order_id = order_id
        self._sequence = 0
        self._intents: list[Intent] = []
        self._verdicts: list[Verdict] = []
        self._commands: list[Command] = []
        self._notices: list[Notice] = []

    def outcome(self, event: Event) -> Outcome:
        """Return what has come of `event`, and forget it."""
        if not self.eventful:
            return Outcome(event)
        self.eventful = False
        outcome = Outcome(
            event, tuple(self._intents), tuple(self._verdicts), tuple(self._commands), tuple(self._notices)
        )
        for found in (self._intents, self._verdicts, self._commands, self._notices):
            found.clear()
        return outcome

    def note(self, level: str, code: str, text: str, strategy: str = "") -> None:
        """Tell people something."""
        self.tell(Notice(self._state.now, level, code, text, strategy))

    def _given_up(self, strategy: str, text: str) -> None:
        self.note("warning", ENDED, text, strategy)

    def tell(self, notice: Notice) -> None:
        """Tell people something."""
        self._notices.append(notice)
        self.eventful = True

    def send(self, commands: Iterable[Command]) -> None:
        """Let commands leave that need nobody's approval: cancels."""
        self._commands.extend(commands)
        self.eventful = True

    # --- intents

    def act(self, intents: Iterable[Intent]) -> None:
        """Do what the intents wish, as far as risk lets them. Raises StrategyError for what is no intent."""
        for intent in intents:
            self.eventful = True
            if isinstance(intent, OrderRequest):
                self._open(intent)
            elif isinstance(intent, Target):
                self.pursue(intent)
            elif isinstance(intent, CancelRequest):
                self.forget(intent.order_id)
                command = self._state.orders.cancel(intent, self._state.now)
                if command is not None:
                    self._commands.append(command)
            elif isinstance(intent, AmendRequest):
                self._amend(intent)
            elif isinstance(intent, Basket):
                self._intents.append(intent)
                standing = strictest(*map(self._standing, intent.requests))
                self._verdicts.extend(
                    verdicts := self._gate.check_all(intent.requests, self._state, standing)
                )
                for verdict in verdicts:
                    if isinstance(verdict, Approved):
                        self._send(verdict)
            elif isinstance(intent, TimerRequest):
                self._intents.append(intent)
            else:
                raise StrategyError(f"A strategy returned {intent!r}, which is not an intent.")

    def _open(self, request: OrderRequest) -> None:
        """Send a request, or begin to work it where its strategy has its entries worked."""
        if not self._is_worked(request):
            self._request(request)
            return
        self._intents.append(request)
        refused = self._gate.foresee(request, self._state, self._standing(request))
        if refused is not None:
            self._verdicts.append(refused)
            return
        config = self._state.strategies[request.strategy].execution
        self.act(self.algos.begin(request, config, self._state.instruments[request.instrument]))

    def _is_worked(self, request: OrderRequest) -> bool:
        """Say whether an algorithm is to work a request: an entry at market that no person typed. Exits never are."""
        config = self._state.strategies.get(request.strategy)
        if config is None or config.execution.algo == "none" or request.part or request.tag == MANUAL_TAG:
            return False
        if request.type is not OrderType.MARKET or request.reduce_only:
            return False
        instrument = self._state.instruments.get(request.instrument)
        if instrument is None or (request.side is Side.SELL and not instrument.is_perpetual):
            return False
        return self._state.position_quantity(request.strategy, request.instrument) * request.side.sign >= 0

    def on_part(self, order: Order | None) -> None:
        """Go on with a worked entry after news of one of its parts."""
        if order is not None and order.request.part:
            self.act(self.algos.on_order(order))

    def _request(self, request: OrderRequest) -> str | None:
        """Return the id under which the request was sent, or None when it was refused."""
        self._intents.append(request)
        self.eventful = True
        verdict = self._gate.check(request, self._state, self._standing(request))
        self._verdicts.append(verdict)
        if isinstance(verdict, Approved):
            return self._send(verdict)
        self.failed(request)
        self.algos.refused(request)
        return None

    def standing(self, strategy: str = "", instrument: str = "") -> Standing:
        """Return what an entry meets now; empty names ask for the run's own standing."""
        if strategy in self.stopped:
            reason = f"{strategy} is stopped."
            return Standing(TradingState.HALTED, RefusalCode.STRATEGY_STOPPED, reason)
        if strategy in self.paused:
            reason = f"Entries of {strategy} are paused."
            return Standing(TradingState.REDUCING, RefusalCode.ENTRIES_PAUSED, reason)
        return self._breakers.state(strategy, instrument, self._state.now)

    def _standing(self, request: OrderRequest) -> Standing:
        return self.standing(request.strategy, request.instrument)

    def _send(self, approved: Approved) -> str:
        order_id = self._order_id(self._sequence)
        self._sequence += 1
        self._commands.append(self._state.orders.create(approved, order_id, self._state.now))
        self.exits.attached(order_id, approved.request)
        self.algos.attached(order_id, approved.request)
        return order_id

    def _amend(self, intent: AmendRequest) -> None:
        order = self._state.orders.get(intent.order_id)
        if order is None or order.state.is_closed:
            return
        now = msgspec.structs.replace(order.request, quantity=order.remaining)
        wish = msgspec.structs.replace(
            now,
            quantity=now.quantity if intent.quantity is None else intent.quantity - order.filled,
            price=now.price if intent.price is None else intent.price,
            trigger=now.trigger if intent.trigger is None else intent.trigger,
        )
        verdict = self._gate.check(wish, self._state, self._standing(wish), replaces=now)
        orders, now_ns = self._state.orders, self._state.now
        command: Command | None
        if isinstance(verdict, Refused):
            self._verdicts.append(verdict)
            # What may not be as small as the position is must not stay larger: it would sell what others hold.
            is_too_large = now.reduce_only and wish.quantity < now.quantity
            command = orders.cancel(CancelRequest(order.id), now_ns) if is_too_large else None
        elif now.type in self._state.fixed.get(now.instrument, ()):
            command = orders.cancel(CancelRequest(order.id), now_ns)
            if command is not None or order.id in self._successors:
                whole = wish.quantity + order.filled
                self._successors[order.id] = msgspec.structs.replace(wish, quantity=whole)
        else:
            command = orders.amend(intent, now_ns)
        if command is not None:
            self._commands.append(command)

    def forget(self, order_id: str) -> None:
        """Send nothing in the place of an order after all."""
        self._successors.pop(order_id, None)

    def succeed(self, order: Order) -> bool:
        """Send what an order that was taken back in order to be changed is to be now; say whether it was one."""
        wish = self._successors.get(order.id)
        if wish is None or not order.state.is_closed:
            return False
        del self._successors[order.id]
        plan = self.exits.plan(wish.strategy, wish.instrument)
        if plan is not None and order.id in plan.orders.values():
            position = self._state.position(wish.strategy, wish.instrument)
            self.act(self.exits.standing(position, self._state.instruments[wish.instrument]))
        elif order.state is OrderState.CANCELLED and wish.quantity > order.filled:
            self._request(msgspec.structs.replace(wish, quantity=wish.quantity - order.filled))
        return True

    def pursue(self, target: Target) -> None:
        """Turn a wished position into orders: leave what points the other way, then enter, grow or shrink."""
        self._intents.append(target)
        self.eventful = True
        state = self._state
        # A bar may close without a sound price; what is held must be left nevertheless.
        seen = target.price if 0.0 < target.price < inf else state.price(target.instrument)
        price = ZERO if seen is None else to_decimal(seen)
        wished = (target.strength > 0) - (target.strength < 0)
        places = self.routes.members(target.instrument)
        for id in places:
            self.aims[target.strategy, id] = wished
            self.cancel_entries(target.strategy, id)
        standing: list[Position] = []
        for id in places:
            position = state.position(target.strategy, id)
            held = sign_of(position, state.instruments[id].lot)
            if held and held != wished:
                self.leave(position, Purpose.SIGNAL, price, target.tag)
            elif held:
                standing.append(position)
        if not wished:
            return
        quantity = size(state.strategies[target.strategy].sizing, target, state)
        if standing:
            self._resize(target, standing, quantity, price)
        else:
            self._enter(target, quantity, price, Purpose.ENTRY)

    def _resize(
        self, target: Target, positions: Sequence[Position], quantity: Decimal, price: Decimal
    ) -> None:
        """Bring what is held on the wished side to `quantity`; what leaves counts as gone, or is called back."""
        held = sum((abs(position.quantity) for position in positions), ZERO)
        exits = [order for position in positions for order in self._exits_under_way(position)]
        left = held - sum((order.remaining for order in exits), ZERO)
        if quantity < left:
            self._shrink(target, positions, left - quantity, price)
        elif quantity > left:
            self.act(CancelRequest(order.id) for order in exits if order.request.purpose in _BY_SIGNAL)
            # What is held may be no whole lots where fees are taken from it.
            more = truncate_to(quantity - held, self._state.instruments[target.instrument].lot)
            if more > 0:
                self._enter(target, more, price, Purpose.REBALANCE)

    def _shrink(self, target: Target, positions: Sequence[Position], excess: Decimal, price: Decimal) -> None:
        """Close `excess` of what is held, at the home of the wish last."""
        side = Side.SELL if target.strength > 0 else Side.BUY
        for position in reversed(positions):
            part = excess
            if len(positions) > 1:
                part = min(excess, abs(position.quantity) - self.leaving(position))
            part = truncate_to(part, self._state.instruments[position.instrument].lot)
            if part > 0:
                excess -= part
                reduction = msgspec.structs.replace(
                    _order(target, side, part, price, Purpose.REBALANCE),
                    instrument=position.instrument,
                    reduce_only=True,
                    protection=None,
                )
                self._request(reduction)

    def _enter(self, target: Target, quantity: Decimal, price: Decimal, purpose: Purpose) -> None:
        config = self._state.strategies[target.strategy]
        side = Side.BUY if target.strength > 0 else Side.SELL
        request = _order(target, side, quantity, price, purpose)
        if config.order_type == "limit":
            request = msgspec.structs.replace(
                request, type=OrderType.LIMIT, price=price, expire_after=config.entry_timeout
            )
        if len(self.routes.members(request.instrument)) == 1 or not self._route(request):
            self._open(request)

    def _route(self, request: OrderRequest, without: frozenset[str] = frozenset()) -> bool:
        """Enter where it costs least, besides the venues that have refused; say whether any venue takes it."""
        plan = self.routes.plan(request, without)
        for each in plan:
            if self._is_worked(each):
                self._open(each)
            elif (order_id := self._request(each)) is not None:
                self.routes.sent(order_id, request, without, each)
        return bool(plan)

    def reroute(self, order: Order) -> None:
        """Send an entry that its venue has refused to the next best one, if it is still wished."""
        found = self.routes.refused(order)
        place = (order.request.strategy, order.request.instrument)
        if found is None or self.aims.get(place) != order.request.side.sign:
            return
        if not self._route(*found):
            text = (
                f"No other venue takes {order.request.side} {order.request.quantity} {found[0].instrument}."
            )
            self.note("warning", "not_routed", text, order.request.strategy)

    def leave(
        self,
        position: Position,
        purpose: Purpose,
        price: Decimal,
        tag: str = "",
        *,
        most: Decimal | None = None,
    ) -> bool:
        """Close at market what of a position (or of `most`) is not being closed; `price` is what the decision saw.

        Return whether an order goes out for it.
        """
        instrument = self._state.instruments[position.instrument]
        request = exit_request(position, purpose, price, instrument)
        leaving = self.leaving(position)
        wished = request.quantity if most is None else min(most, request.quantity)
        if wished <= leaving:
            return False
        return self._request(msgspec.structs.replace(request, quantity=wished - leaving, tag=tag)) is not None

    def failed(self, request: OrderRequest) -> bool:
        """Remember an exit at market that came to nothing: the position is still to be left. Say whether it was one.

        Not a person's: whoever typed it was told, and decides anew.
        """
        if request.tag == MANUAL_TAG or request.instrument not in self._state.instruments:
            return False
        is_exit = request.reduce_only and request.type is OrderType.MARKET
        if is_exit:
            self.owed.setdefault((request.strategy, request.instrument), (request.purpose, 0))
        return is_exit

    def leave_owed(self) -> None:
        """Try again to leave what is owed, and tell people when that does not help."""
        for place, (purpose, attempts) in tuple(self.owed.items()):
            position = self._state.position(*place)
            held = sign_of(position, self._state.instruments[place[1]].lot)
            price = self._state.price(place[1])
            if not held or price is None or (purpose in _BY_SIGNAL and self.aims.get(place) == held):
                del self.owed[place]
            elif attempts == ATTEMPTS:
                del self.owed[place]
                text = f"{position.quantity} of {place[1]} could not be left ({purpose}): it is still held."
                self.note("error", "exit_failed", text, place[0])
            else:
                self.owed[place] = (purpose, attempts + 1)
                self.leave(position, purpose, to_decimal(price), most=self._most(position, purpose))

    def _most(self, position: Position, purpose: Purpose) -> Decimal | None:
        """Return of how much a stop that came to nothing is to be made up for: of what no other one covers by now."""
        plan = self.exits.plan(position.strategy, position.instrument)
        if purpose not in STOPS or plan is None or plan.stop is None or not self.exits.armed:
            return None
        return self.exits.uncovered(position, self._state.instruments[position.instrument])

    def replace(self, order: Order) -> None:
        """Send an entry that timed out again, at the price of now, as often as its strategy allows."""
        request, attempts = order.request, self._replaced.pop(order.id, 0)
        place = (request.strategy, request.instrument)
        price = self._state.price(request.instrument)
        allowed = self._state.strategies[request.strategy].entry_retries
        timed_out = self._state.now >= order.ts_intent + (request.expire_after or 0) * SECOND_NS
        if attempts >= allowed or not timed_out or price is None or self.aims.get(place) != request.side.sign:
            return
        tick = self._state.instruments[request.instrument].tick
        again = msgspec.structs.replace(
            request, quantity=order.remaining, price=nearest_to(to_decimal(price), tick)
        )
        order_id = self._request(again)
        if order_id is not None:
            self._replaced[order_id] = attempts + 1

    def leaving(self, position: Position) -> Decimal:
        """Return how much of a position is being closed at market."""
        return sum((order.remaining for order in self._exits_under_way(position)), ZERO)

    def _exits_under_way(self, position: Position) -> list[Order]:
        """Return the market orders that are making a position smaller."""
        return [
            order
            for order in self._state.orders.open(strategy=position.strategy, instrument=position.instrument)
            if order.request.reduce_only and order.request.type is OrderType.MARKET
        ]

    def cancel_entries(self, strategy: str, instrument: str | None = None) -> None:
        """Take back what a strategy has waiting at the venue, or still to be sent, to open or grow a position."""
        self.algos.end(strategy, instrument)
        for order in tuple(self._state.orders.open(strategy=strategy, instrument=instrument)):
            if not order.request.reduce_only:
                self.act((CancelRequest(order.id),))

    def left_for_good(self, strategy: str, instrument: str) -> None:
        """Take back what still waits of an entry: it would open again what an exit of its own has just left."""
        if self._state.strategies[strategy].execution.algo != "none":
            self.aims[strategy, instrument] = 0  # a part that fills while it is taken back is left, too
        self.cancel_entries(strategy, instrument)

    def cancel_exits(self, strategy: str, instrument: str) -> None:
        """Take back the exits of a position that is flat."""
        for order in tuple(self._state.orders.open(strategy=strategy, instrument=instrument)):
            if order.request.reduce_only:
                self.act((CancelRequest(order.id),))

    def flatten(self, strategy: str) -> None:
        """Take back a strategy's entries and close all its positions at market."""
        self.aims.update({place: 0 for place in self.aims if place[0] == strategy})
        self.cancel_entries(strategy)
        for position in self._state.portfolio.open_positions():
            price = self._state.price(position.instrument)
            if position.strategy == strategy and price is not None:
                self.leave(position, Purpose.FLATTEN, to_decimal(price))


def is_held(state: State, actions: Actions) -> bool:
    """Say whether a strategy holds what its venue would take, and no order at market is closing it."""

    def is_open(position: Position) -> bool:
        instrument, price = state.instruments[position.instrument], state.price(position.instrument)
        left = abs(position.quantity) - actions.leaving(position)
        worth = left * to_decimal(price) if price is not None else instrument.min_notional
        least = max(instrument.lot, instrument.min_quantity)
        return left >= least and (instrument.is_perpetual or worth >= instrument.min_notional)

    held = state.portfolio.open_positions()
    return any(each.strategy in state.strategies and is_open(each) for each in held)


def sign_of(position: Position, lot: Decimal) -> int:
    """Return +1 for long, -1 for short, 0 for flat; less than one lot is flat."""
    quantity = position.quantity
    return 0 if abs(quantity) < lot else (quantity > 0) - (quantity < 0)


def _order(target: Target, side: Side, quantity: Decimal, price: Decimal, purpose: Purpose) -> OrderRequest:
    return OrderRequest(
        strategy=target.strategy,
        instrument=target.instrument,
        side=side,
        quantity=quantity,
        purpose=purpose,
        tag=target.tag,
        confidence=target.confidence,
        decision_price=price,
        protection=target.protection,
    )
