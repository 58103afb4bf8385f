"""Commands out to one account in one market, and the truth about them back: nothing is lost, nothing sent twice.

A submit leaves once. When its answer proves neither that the venue took it nor that it did not, the order is UNKNOWN
until it is found, or proven absent (`inquiry`). The private stream tells what happens; questions at fixed intervals
and after each reconnection find what the stream lost. What cannot be vouched for is told as a doubt: no new risk then.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack, suppress
from functools import partial

import msgspec

from abidance.model.command import Amend, Cancel, Command, Submit
from abidance.model.errors import JournalError, VenueError
from abidance.model.event import AccountEvent, ChangeRejected
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Fill, Order, OrderRequest, OrderState
from abidance.risk.circuits import Sign
from abidance.venues.account import (
    AccountDialect,
    Call,
    Execution,
    Funds,
    Hint,
    Moved,
    News,
    OrderReport,
    Proof,
    Reply,
)
from abidance.venues.dialect import Dropped
from abidance.venues.net.transport import Backoff, DisconnectedError, NotSentError, within
from abidance.venues.trading.books import Books
from abidance.venues.trading.changes import CONFIRM, Changes, amended
from abidance.venues.trading.clock import VenueClock
from abidance.venues.trading.countdown import DeadMan
from abidance.venues.trading.inquiry import FILLS, GRACE, Inquiry
from abidance.venues.trading.keeping import Keeping
from abidance.venues.trading.line import LONGEST, PrivateLine, Way
from abidance.venues.trading.modes import Wanted, differences
from abidance.venues.trading.recall import Recall
from abidance.venues.trading.recovery import Recovery
from abidance.venues.trading.register import ANOTHER, Register, left_standing
from abidance.venues.trading.room import UNSENT, Room
from abidance.venues.trading.scales import BOOKS, UNWEIGHED, Scales
from abidance.venues.trading.sight import Sight
from abidance.venues.trading.signs import tell_reply
from abidance.venues.trading.tracked import Tracked

OPEN_ORDERS, FUNDS, CLOCK = 10.0, 60.0, 600.0
"""Seconds between comparisons."""
AGAIN = 20.0
"""The same, at most, while an account differs from our books, or too much was under way to compare it."""
_AGAIN_FOR = frozenset({BOOKS, UNWEIGHED})
BACK = 0.25
"""Seconds between looks whether an order that gave way to another may go back."""
OWED = 0.2
"""Seconds between questions for executions that the private stream has announced and does not tell."""
POLL = 2.0
"""Seconds between questions for open orders where no private stream tells of them."""
RETRY = 5.0
"""Seconds after which a comparison that failed is made again."""
LISTEN = 5.0
"""Seconds for which a start waits for the private stream."""
SILENT = 5
"""Seconds after which the private stream should have told an execution."""
_AS_IT_IS = Wanted()


class VenueGateway:
    """The gateway to one account in one market. `run` it, and hand it commands (`kernel.ports.Gateway`).

    `tell` hands account events to the engine's inbox; `doubts` names, by its cause, why new risk may not be taken, and
    `on_doubt` is called whenever that changes. `wanted` is how perpetuals are to be traded: another way is a doubt.
    """

    def __init__(
        self,
        dialect: AccountDialect,
        way: Way,
        books: Books,
        tell: Callable[[AccountEvent], None],
        is_ours: Callable[[str], bool],
        on_doubt: Callable[[], None],
        wanted: Wanted = _AS_IT_IS,
    ) -> None:
        self.dialect = dialect
        self.register = Register(tell, is_ours, partial(self.doubt, ANOTHER))
        self.doubts: dict[str, str] = {"start": "the account was not compared with our books yet."}
        self._way = way
        self._wanted, self._tell, self._on_doubt = wanted, tell, on_doubt
        self._locks: dict[str, asyncio.Lock] = {}
        self.hears = False
        """Whether the private stream is up."""
        self._clock = VenueClock(dialect, self.register, way, self.doubt)
        self._up_at = self._ups = 0
        self._is_up = asyncio.Event()
        self._is_owed = self._is_asking_owed = False
        self._inquiry = Inquiry(dialect, self.register, way, self.doubt, self.set_clock, self._found)
        self._keeping = Keeping(
            dialect, self.register, way, self._lock, self._submit, self._asked_off, self._inquiry,
            lambda asset: self.scales.most(asset),  # noqa: PLW0108 (it is made below)
        )  # fmt: skip
        self.scales = Scales(
            dialect, self.register, way, books, self.doubts, self.doubt, self._inquiry, self._keeping.asked
        )  # fmt: skip
        self._changes = Changes(
            dialect, self.register, way, self._inquiry, self._lock, self._change_call, self._hear_all, tell
        )
        one_exit = dialect.capability.one_exit
        self._room = Room(dialect, way)
        self._recovery = Recovery(
            self.register, self._inquiry, way, self._begin, self._take_back, self._room.recount, one_exit=one_exit
        )  # fmt: skip
        self.dead_man = DeadMan(dialect, self.register, way, self.doubt)
        self._recall = Recall(
            dialect, self.register, way, self._lock, self._change_call, self._hear_all, self._confirm
        )
        self._hints: dict[str, Callable[[], Coroutine[object, object, object]]] = {
            "payments": self._inquiry.ask_payments,
            "mode": self.compare_modes,
            "exposure": self.scales.compare,
        }
        self.sight = Sight(dialect, self.register, way, self._keeping, self.doubt, on_doubt)
        ears = way, self._on_news, self._on_up, self._on_down
        self._line = None if dialect.stream is None else PrivateLine(dialect.stream, *ears)

    # --- the engine's side

    def execute(self, commands: Iterable[Command]) -> Iterable[AccountEvent]:
        """Send commands; every answer comes back through `tell`."""
        for command in commands:
            if isinstance(command, Submit):
                self._place(command)
            elif (tracked := self.register.get(command.order_id)) is None:
                self._tell(ChangeRejected(self._now(), command.order_id, "no order of this account"))
            elif isinstance(command, Cancel):
                self._take_back(tracked)
            else:
                self._change(tracked, command)
        return ()

    def watch(self, instrument: str, bid: float, ask: float) -> None:
        """Take the prices at which an instrument can be sold and bought now: what we hold may be due."""
        self.sight.see(instrument, bid, ask)

    def recover(
        self,
        orders: Iterable[Order],
        fills: Iterable[Fill],
        since: int,
        may_have_left: Callable[[str], bool] = lambda _: True,
        amend_of: Callable[[str], Amend | None] = lambda _: None,
        is_called_off: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Take over what the record says; executions from `since` (ns UTC) on are asked for, known or not."""
        self._recovery.begin(orders, fills, may_have_left, amend_of, is_called_off)
        self._inquiry.begin(since)

    def _place(self, command: Submit) -> None:
        tracked = self.register.sent(command.order_id, command.request, self._way.wire.now())
        tracked.recorded_as = self._way.record.seq
        self._keeping.placed(tracked)
        self._begin(tracked, command)

    def _begin(self, tracked: Tracked, command: Submit) -> None:
        tracked.held = self._keeping.must_hold(tracked)
        if tracked.held:
            self.register.accepted(tracked, self._now())
        else:
            self._way.spawn(self._submit(tracked, command))

    def _take_back(self, tracked: Tracked) -> None:
        if tracked.is_watched:
            self.register.gone(tracked, "taken back", self._now())
        elif tracked.id not in self._recall.called:
            tracked.is_unwanted = True
            self._way.spawn(self._cancel(tracked))

    def _change(self, tracked: Tracked, command: Amend) -> None:
        if tracked.is_watched:
            self._keeping.amend(tracked, amended(tracked.request, command))
        elif self.dialect.capability.amends:
            command = self._keeping.reworded(tracked, command)
            self._way.spawn(self._changes.amend(tracked, command, self._way.record.seq))
        else:
            self._tell(ChangeRejected(self._now(), tracked.id, f"{self.dialect.venue} changes no orders."))

    # --- changes on the wire

    async def _submit(self, tracked: Tracked, command: Submit) -> None:
        async with self._lock(tracked.id):
            try:
                if not await self._may_leave(tracked):
                    return
                with await self._keeping.turn(tracked) as turn:
                    await self._send(tracked, command, turn)
            except Exception as error:
                self._failed(tracked, error)
                raise

    def _failed(self, tracked: Tracked, error: Exception) -> None:
        """See to an order over which the program itself failed: unless it has left, nothing comes of it."""
        why = f"the program failed ({type(error).__name__}: {error})"
        if tracked.left:
            self.register.unknown(tracked, why, self._now())
            self._inquiry.resolve(tracked)
        else:
            self.register.came_to_nothing(tracked, f"{UNSENT}{why}", self._now())

    async def _send(self, tracked: Tracked, command: Submit, turn: ExitStack) -> None:
        """Make room for an order, and let it leave for as much as is left to trade; its turn ends as it leaves."""
        turn.callback(self._room.left, tracked)
        await self._room.wait(tracked, command, partial(self._keeping.in_the_way, tracked))
        if self._is_wanted(tracked):
            await self._keeping.make_room(tracked)
        await self._room.wait(tracked, command)
        if not self._is_wanted(tracked) or (rest := self._keeping.rest_of(tracked, command)) is None:
            return

        def leaving() -> None:
            if tracked.is_unwanted or tracked.is_closed:
                raise NotSentError("it was taken back before it left", "Send another one.")
            self._way.departs(tracked.id)
            tracked.left, tracked.sent_at = True, self._way.wire.now()
            turn.close()

        # The dialect may limit for how long the order can be taken: from now on, by the venue's time.
        try:
            call = self._room.take(tracked, msgspec.structs.replace(rest, ts=self._way.wire.now()))
        except VenueError as error:
            self.register.came_to_nothing(tracked, f"{UNSENT}{error.found}", self._now())
            return
        reply = tracked.judged(await self._change_call(call, tracked.request.instrument, leaving))
        if reply.proof is Proof.LATE:
            self._way.spawn(self.set_clock())
        if not self._keeping.keeps(tracked, command, reply):
            self._on_submitted(tracked, reply)

    async def _may_leave(self, tracked: Tracked) -> bool:
        """Say whether an order is still to leave, once its record is on the disk.

        None does after that has failed: who wished it does not hear any more what makes it needless, such as the fill
        of the stop to which a goal gave way.
        """
        try:
            if self._way.record.has_failed:
                raise NotSentError("the journal cannot be written", "Look at the disk.")
            await self._way.record.done(tracked.recorded_as)
        except NotSentError as error:
            self.register.came_to_nothing(tracked, f"{UNSENT}{error.found}", self._now())
            return False
        return self._is_wanted(tracked)

    def _is_wanted(self, tracked: Tracked) -> bool:
        """Say whether an order that has not left is still to leave; one that is not wanted any more ends."""
        if tracked.is_unwanted:
            self.register.came_to_nothing(tracked, f"{UNSENT}taken back before it left", self._now())
        return not tracked.is_closed

    def _on_submitted(self, tracked: Tracked, reply: Reply) -> None:
        now = self._now()
        tell_reply(self._way.signs, tracked.request, reply)
        if reply.venue_id:
            self.register.named(tracked, reply.venue_id, now)
        if reply.proof in (Proof.REFUSED, Proof.LATE):
            self.register.came_to_nothing(tracked, reply.reason, now)
        elif reply.proof is Proof.DONE:
            self._hear_all(reply)
            self.register.accepted(tracked, now)
            if self._line is None:
                self._way.spawn(self._inquiry.look(tracked))
        else:
            self.register.unknown(tracked, reply.reason or reply.proof.value, now)
            self._inquiry.resolve(tracked)

    async def _cancel(self, tracked: Tracked) -> None:
        async with self._lock(tracked.id), self._lock(f"{tracked.id} moves"):
            if tracked.is_closed:
                return
            if tracked.held:  # it came to us while we waited
                self.register.gone(tracked, "taken back", self._now())
                return
            reply = await self._asked_off(tracked)
            if reply.proof in (Proof.REFUSED, Proof.LATE):
                self._tell(ChangeRejected(self._now(), tracked.id, reply.reason))
        await self._confirm(tracked)

    async def _confirm(self, tracked: Tracked) -> None:
        """Ask about an order whose change was not confirmed, until that is clear."""
        for delay in (CONFIRM, 2 * CONFIRM, 5 * CONFIRM):
            if tracked.is_closed:
                return
            await self._way.pulse.sleep(delay)
            if tracked.told.is_closed or tracked.told is OrderState.UNKNOWN:  # somebody looks for it
                continue
            with suppress(VenueError):
                if await self._inquiry.look(tracked) is None:
                    self.register.unknown(tracked, "not found after it was to be changed", self._now())
                    self._inquiry.resolve(tracked)
                    break
        if not tracked.is_closed:
            self._tell(ChangeRejected(self._now(), tracked.id, "not confirmed"))

    async def _asked_off(self, tracked: Tracked) -> Reply:
        """Ask for an order of ours to be taken back, hear what is told with the answer, and return it."""
        reply = await self._recall.ask(tracked.view(), tracked.venue_id)
        self._hear_all(reply)
        return reply

    async def _change_call(
        self, call: Call, instrument: str, leaving: Callable[[], None] | None = None, recorded_as: int = 0
    ) -> Reply:
        """Send a change, once its record is on the disk, and return what its answer proves."""
        try:
            await self._way.record.done(recorded_as)
            answer = await self._way.wire.ask(call, leaving)
        except NotSentError as error:
            return Reply(Proof.REFUSED, f"{UNSENT}{error.found}", has_left=False)
        except DisconnectedError as error:
            return Reply(Proof.UNKNOWN, error.found)
        return self.dialect.proof(answer, instrument)

    # --- the start, and the comparisons that go on for ever

    async def run(self) -> None:
        """Compare the account with our books, then follow it until cancelled."""
        works = (self.sight.keep(), *(() if self._line is None else (self._line.run(),)))
        tasks = [asyncio.ensure_future(each) for each in works]
        try:
            await self._start()
            loops = (
                self.dead_man.keep(),
                self._every(1.0, self._check_flight),
                self._every(BACK, self._keeping.bring_back),
                self._every(OPEN_ORDERS if self._line else POLL, self.compare_orders),
                self._every(FILLS, self._inquiry.sweep_in_time),
                self._first_weighing(),
                self._every(FUNDS, self.scales.compare),
                self._every(FUNDS, self.compare_modes),
                self._every(CLOCK, self.set_clock),
            )
            tasks += [asyncio.ensure_future(each) for each in loops]
            await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, *self._way.tasks):
                task.cancel()
            await asyncio.gather(*tasks, *self._way.tasks, return_exceptions=True)

    async def _start(self) -> None:
        """Ask until the account was compared once: missing is never flat."""
        backoff = Backoff(self._way.draw, longest=LONGEST)
        while True:
            try:
                await self._way.wire.prepare()
                await self.set_clock()
                await self.compare_modes(sets=True)
                await self._recovery.go_on()
                await self._heard()
                ups = self._ups
                await self._inquiry.sweep()
                await self.compare_orders()
                self.register.witness.compared_at = self._way.wire.now()
                self._inquiry.compared.set()
                if self.hears and self._ups == ups:
                    self.doubt("stream", "")
                elif self.hears:
                    self._way.spawn(self._after_gap())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is of this venue alone
                self._doubt_comparison("start", error)
                await self._way.pulse.sleep(backoff.delay())
            else:
                return

    async def _first_weighing(self) -> None:
        """Take nothing new at risk before the account was weighed: at first too much may be under way for that."""
        while "start" in self.doubts:
            try:
                has_result = await self._weigh_first()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is of this venue alone
                self._doubt_comparison("start", error)
                await self._way.pulse.sleep(RETRY)
            else:
                if has_result:
                    await self.scales.until_clear(RETRY)

    async def _heard(self) -> None:
        """Wait a little for the private stream: what was done until it is up is then asked for once."""
        if self._line is not None:
            with suppress(VenueError):
                await within(self._way.pulse, LISTEN, self._is_up.wait(), "The private stream")

    async def _weigh_first(self) -> bool:
        """Compare the account, and trust it once that was whole: a comparison in part is no proof, however often.

        Return whether it came to a result.
        """
        has_result = await self.scales.compare_later(urgent=True)
        if self.scales.was_whole:
            self.doubt("start", "")
        return has_result

    async def _every(self, seconds: float, work: Callable[[], Coroutine[object, object, object]]) -> None:
        name, pause = work.__name__, seconds
        while True:
            await self._rest(pause)
            try:
                is_done = await work() is not False  # True and None: it came to a result
            except Exception as error:  # noqa: BLE001 - whatever it is, it is of this venue alone
                pause = min(seconds, RETRY)
                self._doubt_comparison(name, error)
                with suppress(Exception):  # the clock may be why; what fails of it is told by its own round
                    await self.set_clock()
            else:
                if is_done:
                    self.doubt(name, "")
                pause = seconds if is_done else min(seconds, AGAIN)

    async def _rest(self, seconds: float) -> None:
        """Wait so long; less when the account differs from our books, whoever finds that meanwhile."""
        while seconds > 0:
            await self._way.pulse.sleep(min(seconds, AGAIN))
            seconds = 0 if not _AGAIN_FOR.isdisjoint(self.doubts) else seconds - AGAIN

    def _doubt_comparison(self, what: str, error: Exception) -> None:
        """Doubt the account because of a comparison that failed, whatever the reason: other venues go on."""
        if isinstance(error, VenueError | JournalError):  # without its journal the program ends by itself
            why = error.found
            self._way.log.warning("comparison_failed", what=what, reason=why)
        else:
            why = f"the program failed ({type(error).__name__}: {error})."
            self._way.log.error("comparison_failed", what=what, exc_info=error)
        self.doubt(what, f"the account cannot be compared with our books: {why}")

    async def _check_flight(self) -> None:
        """Find orders of which nothing was heard, and fills that are owed."""
        self.scales.heed_time()
        patience = round((self.dialect.capability.window + GRACE) * SECOND_NS)
        for tracked in list(self.register.open()):
            late = tracked.left and tracked.sent_at + patience < self._way.wire.now()
            if tracked.told is OrderState.UNKNOWN or (tracked.told is OrderState.SENT and late):
                self.register.unknown(tracked, "nothing was heard of it", self._now())
                self._inquiry.resolve(tracked)
        if self._clock.is_due:
            await self.set_clock()
        await self._inquiry.ask_owed()
        self.scales.heed_debts()
        if await self._inquiry.explain_strays():
            self._way.spawn(self.scales.compare())
        await self._inquiry.look_at_others()

    async def compare_orders(self) -> None:
        """Compare open orders with what we think is open; take back those of ours on no record, but for stops."""
        asked_at, listed = self._way.wire.now(), set()
        for report, tracked in await self._inquiry.list_orders():
            listed.add(tracked.id if tracked is not None else report.venue_id)
            if tracked is not None:
                self._changes.compare(report, tracked)
        patience = round((self.dialect.capability.window + GRACE) * SECOND_NS)
        for tracked in list(self.register.open()):
            old = tracked.left and tracked.sent_at + patience < asked_at
            is_looked_for = tracked.told is OrderState.UNKNOWN
            missing = tracked.is_standing and old and not is_looked_for and tracked.id not in listed
            if missing and await self._inquiry.look(tracked, but=self.dialect.open_orders()) is None:
                self.register.unknown(tracked, "the venue lists it no more", self._now())
                self._inquiry.resolve(tracked)
        for report in list(self.register.orphans.values()):
            await self._quarantine(report)
        self.doubt("stops", left_standing(self.register))

    async def _quarantine(self, report: OrderReport) -> None:
        """Take back an order that bears our tag, protects nothing and is not on our record."""
        request = OrderRequest("", report.instrument, report.side, report.quantity)
        order = Order(report.order_id, request, report.state, report.ts)
        reply = await self._recall.ask(order, report.venue_id)
        self._way.log.warning("orphan_taken_back", order=report.order_id, proof=reply.proof.value)
        if reply.proof in (Proof.DONE, Proof.ABSENT):
            self.register.orphans.pop(report.key, None)

    async def probe(self) -> None:
        """Ask what shows whether the venue can be relied on again. Raises VenueError when there is no answer."""
        await self.set_clock()
        await self.compare_orders()
        await self.scales.compare()

    async def compare_modes(self, *, sets: bool = False) -> None:
        """Compare how the account trades perpetuals with what is wanted."""
        self.doubt("mode", await differences(self.dialect, self._way.wire.ask, self._wanted, sets=sets))

    async def set_clock(self) -> None:
        """Measure how the venue's clock differs from ours. Raises VenueError."""
        await self._clock.set()

    # --- the private stream

    def _on_up(self) -> None:
        self.hears, self._up_at, self._ups = True, self._way.wire.now(), self._ups + 1
        self._is_up.set()
        if self._inquiry.compared.is_set():
            self._way.spawn(self._after_gap())

    async def _after_gap(self) -> None:
        """Find what happened while nobody listened, then trust the stream again."""
        backoff, this, up_at = Backoff(self._way.draw, longest=LONGEST), self._ups, self._way.pulse.steady()
        while self._ups == this and self.hears:
            try:
                await self._inquiry.sweep(after=up_at)
                await self.compare_orders()
            except Exception as error:
                if not isinstance(error, VenueError | JournalError):
                    self._way.log.error("comparison_failed", what="after_gap", exc_info=error)
                await self._way.pulse.sleep(backoff.delay())
            else:
                if self._ups == this and self.hears:
                    self.doubt("stream", "")
                return

    def _found(self, execution: Execution) -> None:
        """Take an execution that was news when it was asked for; a stream that should have told it is begun anew."""
        if (
            self._line is not None
            and self.hears
            and self._up_at < execution.ts < self._way.wire.now() - SILENT * SECOND_NS
        ):
            self._way.signs(Sign.MISSED, 0.0, f"execution {execution.id} of {execution.instrument}")
            self._way.spawn(self._line.restart())

    def _on_down(self, reason: str) -> None:
        if self.hears:
            self._way.signs(Sign.LOST, 0.0, reason)
        self.hears = False
        self._is_up.clear()
        self.doubt("stream", f"the private stream is down ({reason.rstrip('.')}).")

    def _on_news(self, news: News) -> None:
        if isinstance(news, OrderReport):
            tracked = self.register.report(news, self._now())
            if tracked is not None and tracked.owes:
                self._ask_owed()
        elif isinstance(news, Execution):
            self.register.execution(news, self._now())
        elif isinstance(news, Funds):
            self.scales.funds[news.asset] = news
        elif isinstance(news, Moved):
            self.register.moved(news, self.dialect.venue, self._now())
        elif isinstance(news, Hint):
            self._way.spawn(self._hints[news.what]())
        elif isinstance(news, Dropped):
            self._way.log.warning("private_frame_dropped", reason=news.reason, sample=news.sample)

    def _ask_owed(self) -> None:
        """Ask for executions at once where the private stream does not tell them, a few times a second at most."""
        if self.dialect.stream is None or self.dialect.stream.tells_fills:
            return
        is_asking, self._is_owed = self._is_asking_owed, True
        if not is_asking:
            self._is_asking_owed = True
            self._way.spawn(self._settle_owed())

    async def _settle_owed(self) -> None:
        try:
            while self._is_owed:
                self._is_owed = False
                await self._inquiry.ask_owed()
                await self._way.pulse.sleep(OWED)
        finally:
            self._is_asking_owed = False

    def _hear_all(self, reply: Reply) -> None:
        for execution in reply.executions:
            self.register.execution(execution, self._now())
        for report in reply.reports:
            self.register.report(report, self._now())

    def cancel_all(self, *, keeps_exits: bool = False) -> "asyncio.Future[None]":
        """Take back everything that may stand at the venue, as fast as can be, whatever else goes on.

        With `keeps_exits` what makes positions smaller stays. The future is done when everything is clear.
        """
        return self._recall.begin(keeps_exits=keeps_exits)

    # --- small things

    def doubt(self, cause: str, reason: str) -> None:
        """Take a reason against new risk, or (empty) take it back."""
        if self.doubts.get(cause, "") == reason:
            return
        if reason:
            self.doubts[cause] = reason
        else:
            del self.doubts[cause]
        self._on_doubt()

    def _lock(self, order_id: str) -> asyncio.Lock:
        return self._locks.setdefault(order_id, asyncio.Lock())

    def _now(self) -> int:
        return self._way.pulse.wall()
