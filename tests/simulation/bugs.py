"""Defects that a live program might have, each planted by a small patch. The simulation must find every one of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from decimal import Decimal
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from abidance.engine.news import News
from abidance.engine.pump import Pump
from abidance.engine.state import State
from abidance.execution.algos import Algos, Parent
from abidance.execution.exits import Exits
from abidance.journal.store import FileJournal
from abidance.kernel.ids import OrderIds
from abidance.model.account import OWNER
from abidance.model.command import Submit
from abidance.model.event import KILL_SWITCH, BalanceChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.intent import CancelRequest
from abidance.model.order import Fill, Order, OrderState
from abidance.model.outcome import Decided, RefusalCode
from abidance.portfolio.ledger import Ledger
from abidance.portfolio.portfolio import Portfolio
from abidance.risk import gate
from abidance.risk.feeds import Feeds
from abidance.risk.limits import Case
from abidance.run import switch, trading
from abidance.run.byhand import Settlement
from abidance.run.departures import Departures
from abidance.run.durable import Durable
from abidance.testing.simulation.disk import Disk
from abidance.venues.account import Proof, Reply
from abidance.venues.net.budget import Counter, Meter
from abidance.venues.trading import gateway, register
from abidance.venues.trading.gateway import VenueGateway
from abidance.venues.trading.inquiry import Inquiry
from abidance.venues.trading.keeping import Keeping
from abidance.venues.trading.register import Register
from abidance.venues.trading.scales import Scales
from abidance.venues.trading.tracked import Tracked

Bug = Callable[[], AbstractContextManager[Any]]
_answered, _submitted = VenueGateway._change_call, VenueGateway._on_submitted


def fills_are_told_twice() -> AbstractContextManager[Any]:
    """Nobody remembers which executions were told."""
    return patch.object(Register, "_id_of", lambda _self, execution, _order_id: execution.id)


def no_answer_is_sent_again() -> AbstractContextManager[Any]:
    """An order without an answer leaves once more."""

    def submitted(self: VenueGateway, tracked: Tracked, reply: Reply) -> None:
        if reply.proof is Proof.UNKNOWN and tracked.told is OrderState.SENT:
            command = Submit(tracked.id, tracked.request, tracked.sent_at)
            self._way.spawn(self._submit(tracked, command))
        _submitted(self, tracked, reply)

    return patch.object(VenueGateway, "_on_submitted", submitted)


def one_too_many_is_sent_again() -> AbstractContextManager[Any]:
    """Nobody learns that the venue takes no more orders, and one that it refuses for that leaves once more."""

    def submitted(self: VenueGateway, tracked: Tracked, reply: Reply) -> None:
        if "Too many new orders" in reply.reason:
            self._way.spawn(self._submit(tracked, Submit(tracked.id, tracked.request, tracked.sent_at)))
        else:
            _submitted(self, tracked, reply)

    stack = ExitStack()
    stack.enter_context(patch.object(VenueGateway, "_on_submitted", submitted))
    stack.enter_context(patch.object(Meter, "use_up", lambda *_: None))
    stack.enter_context(patch.object(Meter, "learn", lambda *_: None))
    return stack


def no_answer_means_refused() -> AbstractContextManager[Any]:
    """An order without an answer counts as refused."""

    async def call(self: VenueGateway, *given: Any) -> Reply:
        reply = await _answered(self, *given)
        return reply._replace(proof=Proof.REFUSED) if reply.proof is Proof.UNKNOWN else reply

    return patch.object(VenueGateway, "_change_call", call)


def no_answer_means_accepted() -> AbstractContextManager[Any]:
    """An order without an answer counts as accepted."""

    def submitted(self: VenueGateway, tracked: Tracked, reply: Reply) -> None:
        _submitted(self, tracked, reply._replace(proof=Proof.DONE) if reply.proof is Proof.UNKNOWN else reply)

    return patch.object(VenueGateway, "_on_submitted", submitted)


def intent_is_not_synced() -> AbstractContextManager[Any]:
    """Orders leave before their intent is on the disk."""
    return patch.object(FileJournal, "put_on_disk", lambda _self: None)


def nobody_waits_for_the_disk() -> AbstractContextManager[Any]:
    """Orders leave while their intent is on its way to the disk."""
    return patch.object(Durable, "done", _at_once)


async def _at_once(_self: Durable, _seq: int) -> None:
    """Return, whatever is on the disk."""


def intent_after_the_order() -> AbstractContextManager[Any]:
    """What was decided is written down after it left."""

    def conclude(self: Pump, event: Any) -> None:
        outcome = self.engine.actions.outcome(event)
        if self._observe is not None:
            self._observe(outcome)
        if outcome.intents or outcome.commands:
            self._follow(outcome)
        if self._journal is not None and (decided := outcome.decided(self.engine.state.now)) is not None:
            self._journal.append(decided)

    stack = ExitStack()
    stack.enter_context(patch.object(Pump, "_conclude", conclude))
    stack.enter_context(patch.object(Durable, "done", _at_once))
    return stack


def _without(*codes: RefusalCode) -> AbstractContextManager[Any]:
    first = gate._first
    return patch.object(
        gate, "_first", lambda rules, case: first(tuple(rule for rule in rules if rule[0] not in codes), case)
    )


def unknown_orders_block_nothing() -> AbstractContextManager[Any]:
    """New risk is taken while an outcome is unknown."""
    return _without(RefusalCode.UNKNOWN_ORDER_OPEN)


def doubt_blocks_nothing() -> AbstractContextManager[Any]:
    """New risk is taken while the account is in doubt."""
    return _without(RefusalCode.VENUE_NOT_TRUSTED)


def open_circuits_block_nothing() -> AbstractContextManager[Any]:
    """New risk is taken at a venue that is left alone because it fails."""
    return _without(RefusalCode.CIRCUIT_OPEN)


def all_may_be_at_risk() -> AbstractContextManager[Any]:
    """Nothing bounds what is bought altogether."""
    return _without(RefusalCode.MAX_EXPOSURE)


def all_may_be_one_asset() -> AbstractContextManager[Any]:
    """Nothing bounds what is bought of one asset."""
    return _without(RefusalCode.MAX_ASSET_EXPOSURE)


def all_may_lie_at_one_venue() -> AbstractContextManager[Any]:
    """Nothing bounds what is bought at one venue."""
    return _without(RefusalCode.MAX_VENUE_EXPOSURE)


def a_venue_is_one_instrument_to_its_limit() -> AbstractContextManager[Any]:
    """What is held of other instruments at a venue takes no room under the limit on it."""
    first = gate._first

    def alone(case: Case) -> str | None:
        asset, venue = case.instrument.base, case.instrument.venue
        total = case.total(case.view.exposure(asset=asset, venue=venue), asset=asset, venue=venue)
        is_above = total > case.limits.max_venue_exposure * case.view.equity()
        return "the limit on a venue is reached" if is_above else None

    return patch.object(
        gate,
        "_first",
        lambda rules, case: first(
            tuple((code, alone if code is RefusalCode.MAX_VENUE_EXPOSURE else rule) for code, rule in rules),
            case,
        ),
    )


def unknown_orders_count_as_nothing() -> AbstractContextManager[Any]:
    """What may or may not be at a venue takes no room under the limits."""
    worst = State._worst

    def known(self: State, order: Order) -> Decimal:
        return Decimal(0) if order.state is OrderState.UNKNOWN else worst(self, order)

    return patch.object(State, "_worst", known)


def orders_that_rest_count_as_nothing() -> AbstractContextManager[Any]:
    """What may fill takes no room under the limits before it does."""
    return patch.object(State, "_worst", lambda _self, _order: Decimal(0))


def orders_may_be_worth_anything() -> AbstractContextManager[Any]:
    """Nothing bounds what one order may be worth."""
    return _without(RefusalCode.MAX_ORDER_VALUE)


def stale_quotes_block_nothing() -> AbstractContextManager[Any]:
    """New risk is taken on quotes that nobody vouches for."""
    return patch.object(Feeds, "doubt", lambda _self, _strategy, _instrument: None)


def cancels_are_believed_at_once() -> AbstractContextManager[Any]:
    """An order is gone as soon as that was wished."""

    def take_back(self: VenueGateway, tracked: Tracked) -> None:
        self._way.spawn(self._cancel(tracked))
        self.register.gone(tracked, "taken back", self._now())

    return patch.object(VenueGateway, "_take_back", take_back)


def fees_are_dropped() -> AbstractContextManager[Any]:
    """Executions are told without their fee."""
    told = register._fill
    return patch.object(
        register, "_fill", lambda *given: msgspec.structs.replace(told(*given), fee=Decimal(0))
    )


def fees_in_coins_count_as_nothing() -> AbstractContextManager[Any]:
    """A fee in a coin that nothing prices does not say what it stands for."""
    return patch.object(trading, "as_recorded", lambda event, *_: event)


def equity_does_not_see_fees_in_coins() -> AbstractContextManager[Any]:
    """What a fee in a coin stands for is on record, and counts as nothing."""
    valued = Portfolio._fee_worth

    def unseen(self: Portfolio, fill: Fill, instrument: Instrument) -> Decimal:
        return valued(self, msgspec.structs.replace(fill, fee_worth=msgspec.UNSET), instrument)

    return patch.object(Portfolio, "_fee_worth", unseen)


def prices_are_rounded() -> AbstractContextManager[Any]:
    """Executions are told at a rounded price."""
    told = register._fill

    def fill(*given: Any) -> Any:
        found = told(*given)
        return msgspec.structs.replace(found, price=found.price.quantize(Decimal(1)))

    return patch.object(register, "_fill", fill)


def stops_keep_their_first_size() -> AbstractContextManager[Any]:
    """A stop does not follow what fills after it was sent."""
    stand = Exits._stand

    def first(self: Exits, plan: Any, position: Any, purpose: Any, *given: Any) -> Any:
        standing = self._orders.get(plan.orders.get(purpose, ""))
        if standing is not None and not standing.state.is_closed:
            return []
        return stand(self, plan, position, purpose, *given)

    return patch.object(Exits, "_stand", first)


def stops_that_gave_way_stay_with_us() -> AbstractContextManager[Any]:
    """A stop that was taken off the venue for another exit does not go back: it dies with the process."""

    async def nothing(_self: Keeping) -> None:
        return

    return patch.object(Keeping, "bring_back", nothing)


def stops_that_we_hold_wait_for_ever() -> AbstractContextManager[Any]:
    """Nobody looks whether the price of a stop that the venue does not keep has come."""
    return patch.multiple(Keeping, _is_due=lambda *_: False, passed=lambda *_: None)


def stops_outlast_their_positions() -> AbstractContextManager[Any]:
    """What closes a position takes back nothing that protected it."""
    on_fill = Exits.on_fill

    def leaves(*given: Any) -> list[Any]:
        return [each for each in on_fill(*given) if not isinstance(each, CancelRequest)]

    return patch.object(Exits, "on_fill", leaves)


def positions_have_no_stops() -> AbstractContextManager[Any]:
    """Nothing protects a position."""
    return patch.object(Exits, "_standing", lambda *_: [])


def the_kill_switch_is_not_looked_at() -> AbstractContextManager[Any]:
    """Nobody looks at the kill switch."""
    return patch.object(switch, "killed", lambda _folder: None)


def a_kill_is_forgotten_at_once() -> AbstractContextManager[Any]:
    """The kill switch cancels, and stops nothing."""
    step = Pump.step

    def forgetful(self: Pump, event: Any) -> None:
        if getattr(event, "actor", "") != KILL_SWITCH:
            step(self, event)

    return patch.object(Pump, "step", forgetful)


def not_found_means_absent() -> AbstractContextManager[Any]:
    """One answer that nobody knows an order is taken for proof."""

    def note(self: Inquiry, tracked: Tracked, _asked: float) -> None:
        if tracked.told is OrderState.UNKNOWN:
            self._register.abandoned(tracked, "not found", self._now())

    return patch.object(Inquiry, "_note_no", note)


def endings_overtake_fills() -> AbstractContextManager[Any]:
    """An order ends before all its executions are told."""
    return patch.object(Tracked, "owes", property(lambda _self: False))


def nobody_asks_for_fills() -> AbstractContextManager[Any]:
    """What the stream loses is lost."""

    async def nothing(*_: Any, **__: Any) -> None:
        return

    return patch.multiple(Inquiry, sweep=nothing, sweep_one=nothing)


def fills_are_booked_twice() -> AbstractContextManager[Any]:
    """Each execution moves our books twice."""
    apply = Portfolio.apply

    def twice(self: Portfolio, event: Any, **given: Any) -> Any:
        if isinstance(event, OrderFilled):
            again = msgspec.structs.replace(event.fill, id=f"{event.fill.id}+")
            apply(self, OrderFilled(event.ts, again), **given)
        return apply(self, event, **given)

    return patch.object(Portfolio, "apply", twice)


def fills_are_not_recorded() -> AbstractContextManager[Any]:
    """Executions are handled and never written down."""
    append = FileJournal.append

    def forgetful(self: FileJournal, event: Any, *, deferred: bool = False) -> None:
        if not isinstance(event, OrderFilled):
            append(self, event, deferred=deferred)

    return patch.object(FileJournal, "append", forgetful)


def decisions_are_not_recorded() -> AbstractContextManager[Any]:
    """What was decided is never written down."""
    append = FileJournal.append

    def forgetful(self: FileJournal, event: Any, *, deferred: bool = False) -> None:
        if not isinstance(event, Decided):
            append(self, event, deferred=deferred)

    return patch.object(FileJournal, "append", forgetful)


@contextmanager
def ids_depend_on_the_process() -> Iterator[None]:
    """What is repeated after a restart comes out otherwise."""
    make, starts = OrderIds.make, [0]
    begin = FileJournal.__init__

    def opened(self: FileJournal, *given: Any, **named: Any) -> None:
        starts[0] += 1
        begin(self, *given, **named)

    def other(self: OrderIds, sequence: int) -> str:
        return make(self, sequence + 1_000 * starts[0])

    with patch.object(FileJournal, "__init__", opened), patch.object(OrderIds, "make", other):
        yield


def ids_repeat() -> AbstractContextManager[Any]:
    """Two orders bear one id."""
    make = OrderIds.make
    return patch.object(OrderIds, "make", lambda self, sequence: make(self, sequence // 2))


def open_orders_are_forgotten_at_a_restart() -> AbstractContextManager[Any]:
    """A new process asks nothing about the orders of the one before."""
    return patch.object(VenueGateway, "recover", lambda *_: None)


def nobody_notes_what_leaves() -> AbstractContextManager[Any]:
    """After a restart each order that was not answered is taken for one that never left."""
    return patch.object(Departures, "note", lambda _self, _order_id: None)


def fills_by_hand_are_told_after_each_restart() -> AbstractContextManager[Any]:
    """A new process knows no executions but those of our own orders."""
    recover = VenueGateway.recover

    def forgetful(self: VenueGateway, orders: Any, fills: Any, *given: Any) -> None:
        recover(self, orders, [each for each in fills if each.strategy != OWNER], *given)

    return patch.object(VenueGateway, "recover", forgetful)


def a_start_is_trusted_without_a_comparison() -> AbstractContextManager[Any]:
    """A new process takes it that the account has what its record says."""

    async def compare(self: Scales, **_: Any) -> bool:
        self.was_whole = True
        return True

    return patch.object(Scales, "compare", compare)


def what_is_bought_by_hand_is_the_runs() -> AbstractContextManager[Any]:
    """Whoever trades on the account by hand does it with the run's money."""
    return patch.object(register, "OWNER", "manual")


def what_the_owner_moves_is_the_runs() -> AbstractContextManager[Any]:
    """Money that the owner pays in or takes out is booked as the run's."""

    def made(*told: Any) -> BalanceChanged:
        return msgspec.structs.replace(BalanceChanged(*told), is_owners=False)

    return patch.object(register, "BalanceChanged", made)


def what_lacks_for_a_moment_was_taken_by_the_owner() -> AbstractContextManager[Any]:
    """Strategies lose to the owner at once what the account has less, whatever else may be why."""
    settle = Settlement.settle

    def at_once(self: Settlement, there: Any, number: int, proven: Any = ()) -> Any:
        return settle(self, there, number, [*proven, *settle(self, there, number, proven)])

    return patch.object(Settlement, "settle", at_once)


def failed_comparisons_wait_their_turn() -> AbstractContextManager[Any]:
    """A comparison that failed is made again only when the next is due."""
    return patch.object(gateway, "RETRY", 600.0)


def half_written_records_stay() -> AbstractContextManager[Any]:
    """What the disk took only a part of counts as written."""
    put = Disk._put
    return patch.object(Disk, "_put", lambda self, fd, data: (put(self, fd, data), 1 << 20)[1])


def events_are_not_handled_in_their_order() -> AbstractContextManager[Any]:
    """What was decided of an account's news is lost: they are recorded and passed over."""
    return patch.object(News, "on_order", lambda _self, _event: None)


def broken_frames_are_only_logged() -> AbstractContextManager[Any]:
    """A private frame that cannot be read ends in an exception that whoever catches it only writes down."""

    def note(_self: VenueGateway, _news: Any) -> None:
        raise TypeError("not what was expected")

    return patch.object(VenueGateway, "_on_news", note)


def costs_are_not_looked_at() -> AbstractContextManager[Any]:
    """Nothing bounds what an entry may cost."""
    return _without(RefusalCode.MAX_COST)


def parts_of_an_entry_forget_each_other() -> AbstractContextManager[Any]:
    """What was sent of a worked entry does not count: it is sent again."""

    def left(_self: Algos, parent: Parent) -> Decimal:
        return parent.request.quantity

    return patch.object(Algos, "_left", left)


def funding_is_lost() -> AbstractContextManager[Any]:
    """Funding that the venue paid is told to nobody."""
    return patch.object(Register, "moved", lambda *_: None)


def funding_is_told_twice() -> AbstractContextManager[Any]:
    """Funding is told by the stream and by the list, as two payments."""
    moved = Register.moved

    def twice(self: Register, found: Any, venue: str, now: int) -> None:
        for number in range(2):
            moved(
                self,
                msgspec.structs.replace(found, id=f"{found.id}{number}", ts=found.ts + number),
                venue,
                now,
            )

    return patch.object(Register, "moved", twice)


def liquidations_are_passed_over() -> AbstractContextManager[Any]:
    """What the venue closed of its own will is not noticed."""
    execution = Register.execution

    def blind(self: Register, found: Any, now: int, page: Any = ()) -> bool:
        known = found.order_id in self._orders or found.key in self._by_key
        return execution(self, found, now, page) if known else False

    return patch.object(Register, "execution", blind)


def profit_is_booked_in_whole_units() -> AbstractContextManager[Any]:
    """What a perpetual settles is rounded."""
    post = Ledger.post_fill

    def rounded(self: Ledger, fill: Any, instrument: Any, profit: Decimal = Decimal(0)) -> bool:
        return post(self, fill, instrument, profit.quantize(Decimal(1)))

    return patch.object(Ledger, "post_fill", rounded)


def fees_of_perpetuals_are_booked_twice() -> AbstractContextManager[Any]:
    """The fee is taken from what was settled, and once more by itself."""
    post = Ledger.post_fill

    def poorer(self: Ledger, fill: Any, instrument: Any, profit: Decimal = Decimal(0)) -> bool:
        return post(self, fill, instrument, profit - fill.fee if instrument.is_perpetual else profit)

    return patch.object(Ledger, "post_fill", poorer)


def fills_are_booked_at_the_other_venue() -> AbstractContextManager[Any]:
    """Money moves at one venue, whichever it was that traded."""
    post = Ledger.post_fill

    def elsewhere(self: Ledger, fill: Any, instrument: Any, profit: Decimal = Decimal(0)) -> bool:
        return post(self, fill, msgspec.structs.replace(instrument, id="BTC/USDT@BINANCE"), profit)

    return patch.object(Ledger, "post_fill", elsewhere)


def exits_forget_what_stops_have_sold() -> AbstractContextManager[Any]:
    """An exit leaves as large as it was worded, whatever the stop that it replaces has filled meanwhile."""
    return patch.object(Keeping, "rest_of", lambda _self, _tracked, command: command)


def stops_give_way_to_the_exits_of_others() -> AbstractContextManager[Any]:
    """Exits of an instrument count as those of one position, whichever strategy holds it."""

    def beside(self: Register, tracked: Tracked, _ended: Iterable[str] = ()) -> list[Tracked]:
        mine = tracked.request
        return [
            each
            for each in self.open()
            if each is not tracked
            and each.request.reduce_only == mine.reduce_only
            and (each.request.instrument, each.request.side) == (mine.instrument, mine.side)
        ]

    return patch.object(Register, "beside", beside)


def questions_are_not_counted() -> AbstractContextManager[Any]:
    """Nobody counts what a venue is asked for, and whoever goes on after a refusal is shut out."""
    return patch.multiple(Counter, delay=lambda *_, **__: 0.0, use_up=lambda *_: None)


def any_life_ends_an_order() -> AbstractContextManager[Any]:
    """An order ends with whatever life of it was found to have ended, though another process sent it again since."""
    return patch.object(Tracked, "may_go_on_after", lambda _self, _report: False)


class Planted(NamedTuple):
    """A defect, the rule that it breaks, and the world in which it does so first, of which kind."""

    plant: Bug
    rule: str
    first: int
    kind: str


RULE = {
    "fills_are_told_twice": "fills once",
    "no_answer_is_sent_again": "sent once",
    "one_too_many_is_sent_again": "sent once",
    "no_answer_means_refused": "evidence",
    "no_answer_means_accepted": "evidence",
    "intent_is_not_synced": "intent first",
    "intent_after_the_order": "intent first",
    "nobody_waits_for_the_disk": "intent first",
    "unknown_orders_block_nothing": "unknown",
    "doubt_blocks_nothing": "doubt",
    "open_circuits_block_nothing": "circuit",
    "all_may_be_at_risk": "exposure",
    "all_may_be_one_asset": "asset exposure",
    "all_may_lie_at_one_venue": "venue exposure",
    "a_venue_is_one_instrument_to_its_limit": "venue exposure",
    "unknown_orders_count_as_nothing": "exposure",
    "orders_that_rest_count_as_nothing": "exposure",
    "orders_may_be_worth_anything": "order value",
    "stale_quotes_block_nothing": "stale",
    "cancels_are_believed_at_once": "evidence",
    "fees_are_dropped": "fills",
    "fees_in_coins_count_as_nothing": "coins",
    "equity_does_not_see_fees_in_coins": "worth",
    "prices_are_rounded": "fills",
    "stops_keep_their_first_size": "calm",
    "stops_that_gave_way_stay_with_us": "calm",
    "positions_have_no_stops": "calm",
    "stops_outlast_their_positions": "one stop",
    "stops_that_we_hold_wait_for_ever": "due",
    "the_kill_switch_is_not_looked_at": "killed",
    "a_kill_is_forgotten_at_once": "killed",
    "not_found_means_absent": "evidence",
    "endings_overtake_fills": "evidence",
    "nobody_asks_for_fills": "calm",
    "fills_are_booked_twice": "money",
    "fills_are_not_recorded": "money",
    "decisions_are_not_recorded": "intent first",
    "ids_depend_on_the_process": "program",
    "ids_repeat": "program",
    "open_orders_are_forgotten_at_a_restart": "fills once",
    "exits_forget_what_stops_have_sold": "shares",
    "stops_give_way_to_the_exits_of_others": "calm",
    "nobody_notes_what_leaves": "sent once",
    "fills_by_hand_are_told_after_each_restart": "fills once",
    "what_is_bought_by_hand_is_the_runs": "money",
    "what_the_owner_moves_is_the_runs": "owner's money",
    "what_lacks_for_a_moment_was_taken_by_the_owner": "owner's money",
    "a_start_is_trusted_without_a_comparison": "compared",
    "failed_comparisons_wait_their_turn": "calm",
    "half_written_records_stay": "program",
    "events_are_not_handled_in_their_order": "states",
    "broken_frames_are_only_logged": "program",
    "costs_are_not_looked_at": "cost",
    "parts_of_an_entry_forget_each_other": "parts",
    "funding_is_lost": "calm",
    "funding_is_told_twice": "calm",
    "liquidations_are_passed_over": "calm",
    "profit_is_booked_in_whole_units": "money",
    "fees_of_perpetuals_are_booked_twice": "money",
    "fills_are_booked_at_the_other_venue": "program",
    "questions_are_not_counted": "calm",
    "any_life_ends_an_order": "evidence",
}
"""Which rule of the checker each of them breaks."""

STOPPED_BY_ITSELF = {
    "ids_depend_on_the_process": "a start compares what it decides again with what is on record",
    "ids_repeat": "the engine does not take a second order under an id",
    "half_written_records_stay": "the checksum of a record is compared when it is read again",
    "broken_frames_are_only_logged": "an exception that nobody expected is itself the defect",
    "fills_are_booked_at_the_other_venue": "the ledger does not take a fill of one venue for one of another",
}
"""Why what these lead to is a failure of the program (`program`), before any order or sum is wrong."""

FIRST = {
    "unknown_orders_count_as_nothing": 97,
    "any_life_ends_an_order": 97,
    "questions_are_not_counted": 31,
    "liquidations_are_passed_over": 15,
    "a_kill_is_forgotten_at_once": 9,
    "failed_comparisons_wait_their_turn": 11,
    "half_written_records_stay": 6,
    "endings_overtake_fills": 46,
    "exits_forget_what_stops_have_sold": 12,
    "funding_is_told_twice": 57,
    "fills_are_booked_at_the_other_venue": 2,
    "fills_by_hand_are_told_after_each_restart": 5,
    "what_is_bought_by_hand_is_the_runs": 5,
    "what_lacks_for_a_moment_was_taken_by_the_owner": 76,
    "no_answer_is_sent_again": 10,
    "one_too_many_is_sent_again": 48,
    "no_answer_means_accepted": 29,
    "no_answer_means_refused": 5,
    "nobody_asks_for_fills": 1,
    "nobody_notes_what_leaves": 90,
    "not_found_means_absent": 10,
    "stale_quotes_block_nothing": 65,
    "open_circuits_block_nothing": 1,
    "positions_have_no_stops": 2,
    "costs_are_not_looked_at": 2,
    "stops_give_way_to_the_exits_of_others": 4,
    "stops_keep_their_first_size": 6,
    "stops_outlast_their_positions": 19,
    "stops_that_we_hold_wait_for_ever": 13,
    "the_kill_switch_is_not_looked_at": 9,
    "unknown_orders_block_nothing": 10,
}
"""Worlds that show a defect early; they save time and mean nothing else. All others show in the very first."""

KIND = {
    "all_may_be_at_risk": "apart",
    "all_may_lie_at_one_venue": "apart",
    "a_venue_is_one_instrument_to_its_limit": "bybit-pairs",
    "unknown_orders_count_as_nothing": "apart",
    "orders_that_rest_count_as_nothing": "apart",
    "any_life_ends_an_order": "bybit",
    "costs_are_not_looked_at": "worked",
    "nobody_notes_what_leaves": "worked",
    "parts_of_an_entry_forget_each_other": "worked",
    "stops_outlast_their_positions": "perpetual",
    "funding_is_lost": "perpetual",
    "funding_is_told_twice": "perpetual",
    "liquidations_are_passed_over": "perpetual",
    "profit_is_booked_in_whole_units": "perpetual",
    "fees_of_perpetuals_are_booked_twice": "perpetual",
    "fills_are_booked_at_the_other_venue": "routed",
    "orders_may_be_worth_anything": "kucoin",
    "stops_that_gave_way_stay_with_us": "kraken",
    "stops_that_we_hold_wait_for_ever": "kucoin",
    "what_lacks_for_a_moment_was_taken_by_the_owner": "kraken",
    "exits_forget_what_stops_have_sold": "shared",
    "stops_give_way_to_the_exits_of_others": "shared",
    "questions_are_not_counted": "kraken-shared",
    "fees_in_coins_count_as_nothing": "coins",
    "equity_does_not_see_fees_in_coins": "coins",
}
"""In which kind of world a defect is looked for; all others in plain spot."""

BUGS: Mapping[str, Planted] = {
    each.__name__: Planted(
        each, RULE[each.__name__], FIRST.get(each.__name__, 0), KIND.get(each.__name__, "spot")
    )
    for each in (
        fills_are_told_twice, no_answer_is_sent_again, one_too_many_is_sent_again, no_answer_means_refused, no_answer_means_accepted,
        intent_is_not_synced, intent_after_the_order, nobody_waits_for_the_disk, unknown_orders_block_nothing, doubt_blocks_nothing,
        open_circuits_block_nothing,
        all_may_be_at_risk, all_may_be_one_asset, all_may_lie_at_one_venue, a_venue_is_one_instrument_to_its_limit,
        unknown_orders_count_as_nothing,
        orders_that_rest_count_as_nothing, orders_may_be_worth_anything, stale_quotes_block_nothing, cancels_are_believed_at_once, fees_are_dropped,
        fees_in_coins_count_as_nothing, equity_does_not_see_fees_in_coins,
        prices_are_rounded, stops_keep_their_first_size, stops_that_gave_way_stay_with_us, positions_have_no_stops, stops_that_we_hold_wait_for_ever, stops_outlast_their_positions,
        the_kill_switch_is_not_looked_at,
        a_kill_is_forgotten_at_once, not_found_means_absent, endings_overtake_fills,
        nobody_asks_for_fills, fills_are_booked_twice, fills_are_not_recorded, decisions_are_not_recorded,
        ids_depend_on_the_process, ids_repeat, open_orders_are_forgotten_at_a_restart,
        exits_forget_what_stops_have_sold, stops_give_way_to_the_exits_of_others,
        nobody_notes_what_leaves, fills_by_hand_are_told_after_each_restart, what_is_bought_by_hand_is_the_runs,
        what_the_owner_moves_is_the_runs, what_lacks_for_a_moment_was_taken_by_the_owner,
        a_start_is_trusted_without_a_comparison,
        failed_comparisons_wait_their_turn, half_written_records_stay, events_are_not_handled_in_their_order,
        broken_frames_are_only_logged, costs_are_not_looked_at, parts_of_an_entry_forget_each_other, funding_is_lost,
        funding_is_told_twice, liquidations_are_passed_over, profit_is_booked_in_whole_units,
        fees_of_perpetuals_are_booked_twice, fills_are_booked_at_the_other_venue, questions_are_not_counted,
        any_life_ends_an_order,
    )
}  # fmt: skip
