"""Questions to a venue about orders and executions: what became of each, until that is proven.

It asks, and hands every answer to the register; it sends no order and takes none back.
"""

import asyncio
from collections.abc import Callable, Container, Coroutine, Mapping, MutableMapping, Sequence
from contextlib import suppress
from math import inf

from msgspec.structs import replace

from abidance.model.errors import VenueError
from abidance.model.instrument import SECOND_NS
from abidance.model.order import OrderState
from abidance.venues.account import (
    AccountDialect,
    Call,
    Execution,
    OrderKey,
    OrderReport,
)
from abidance.venues.listing import executions_until, open_orders_of
from abidance.venues.net.transport import Answer
from abidance.venues.trading.line import Way
from abidance.venues.trading.questions import Asked, Questions, name_of
from abidance.venues.trading.register import Register, may_have_traded
from abidance.venues.trading.tracked import Tracked

GRACE = 2.0
"""Seconds beyond the venue's window before absence may count; looks at several orders wait so long for each other."""
FIRST_TOGETHER, TOGETHER = 4.0, 8.0
"""The same while questions are short, of first looks and of second ones: what they cost takes so long to be earned."""
LAG = 12.0
"""Seconds for which an order must be absent: copies of the books may be that far behind."""
UNSHOWN = 600.0
"""The same while the venue has not shown that it finds orders by our id."""
AGAIN = 5.0
"""Seconds after which it is asked again where no answer came, or something else keeps a proof from being one."""
_MOMENT = 0.05
"""Seconds by which one asks later than when the answer begins to count."""
ALARM = 120.0
"""Seconds without proof after which people are told."""
FILLS = 30.0
"""Seconds between questions for executions."""
OVERLAP = 60 * SECOND_NS
"""Executions are asked for from so long before the newest that is known."""

FUNDING_OVERLAP = 600 * SECOND_NS
"""The same for funding, which some venues list minutes after it was paid."""


class Inquiry:
    """Asks about the orders of one register; `doubt` takes a reason against new risk, by its cause.

    `on_absent` is called once an order is proven to have come to nothing, `on_news` takes executions that were news.
    """

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        doubt: Callable[[str, str], None],
        on_absent: Callable[[], Coroutine[object, object, None]],
        on_news: Callable[[Execution], None],
    ) -> None:
        self._dialect = dialect
        self._register = register
        self._way = way
        self._doubt = doubt
        self._on_absent = on_absent
        self._on_news = on_news
        self.compared = asyncio.Event()
        """Until the account was compared once, looks that prove nothing are made once: what concerns all goes first."""
        self._swept: dict[str, int] = {}
        self._swept_at: dict[str, float] = {}
        self._payments_at = -inf
        self._failed_at: float | None = None
        self._paid_at = 0
        self._resolving: set[str] = set()
        self._looked: set[str] = set()
        self._questions = Questions(way)
        self.ask = self._questions.ask

    def begin(self, since: int) -> None:
        """Ask for executions and funding from `since` (ns UTC) on."""
        self._swept = dict.fromkeys(self._dialect.instruments, since)
        self._paid_at = since

    # --- one order

    def resolve(self, tracked: Tracked) -> None:
        """Begin to look for an order until it is found, or until its absence is proven."""
        if tracked.id not in self._resolving:
            self._resolving.add(tracked.id)
            self._way.spawn(self._resolve(tracked))

    async def _resolve(self, tracked: Tracked) -> None:
        try:
            began, attempt, pauses = self._way.pulse.steady(), 0, self._dialect.ask_again
            while tracked.told in (OrderState.UNKNOWN, OrderState.SENT):
                pause, slept = pauses[min(attempt, len(pauses) - 1)], self._way.pulse.steady()
                await self._way.pulse.sleep(min(pause, self._due_in(tracked) or AGAIN) if attempt else pause)
                attempt += 1
                await self.let_it_show()
                with suppress(VenueError):  # no answer is not the answer "no"
                    came = self._way.pulse.steady()
                    is_due = not self._due_in(tracked) or (
                        tracked.denied_at < slept  # nobody else has just asked
                        and (attempt == 1 or self.compared.is_set())
                        and not self.is_short(tracked)
                    )
                    if tracked.told is OrderState.UNKNOWN and is_due and not self.is_absent(tracked):
                        await self.look(tracked)
                    if tracked.told is OrderState.UNKNOWN and self.is_absent(tracked):
                        await self._prove_absence(tracked, came)
                if self._way.pulse.steady() - began > ALARM and tracked.told is OrderState.UNKNOWN:
                    self._doubt(f"order {tracked.id}", f"the outcome of order {tracked.id} cannot be proven.")
        finally:
            self._resolving.discard(tracked.id)
            self._doubt(f"order {tracked.id}", "")

    def is_short(self, tracked: Tracked) -> bool:
        """Say whether a look would have to wait for the venue's limits now."""
        first = next(iter(self._dialect.find(tracked.view())), None)
        return first is not None and self._way.wire.delay(first._replace(is_urgent=False)) > 0

    async def _prove_absence(self, tracked: Tracked, came: float) -> None:
        """Abandon an order that the venue does not know, unless open orders and executions say otherwise."""
        if may_have_traded(self._register, tracked):  # that is explained first
            return
        await self.sweep_one(tracked.request.instrument, tracked.sent_at - OVERLAP, urgent=True, came=came)
        seen = [call._replace(told=None) for call in self._dialect.find(tracked.view())]
        if any(call not in seen for call in self._dialect.open_orders()):
            await self.list_orders()
        is_absent = self.is_absent(tracked) and not may_have_traded(self._register, tracked)
        if tracked.told is OrderState.UNKNOWN and is_absent:
            proof = "unknown to the venue in two answers after its time, in open orders and in executions"
            self._register.abandoned(tracked, proof, self._now())
            self._way.spawn(self._on_absent())  # it may have come too late

    def _note_no(self, tracked: Tracked, asked: float) -> None:
        """Note that by a look that was `asked` then (steady seconds), and is answered now, there is no such order.

        One that was asked before the order's time proves nothing, whenever it is answered: the order may come yet.
        """
        now = self._way.pulse.steady()  # no clock that somebody sets
        tracked.denied_at = max(tracked.denied_at, asked)
        is_late = self._way.wire.now() - round((now - asked) * SECOND_NS) > self._late(tracked)
        if is_late and tracked.absent_from is None:
            tracked.absent_from = now

    def is_absent(self, tracked: Tracked) -> bool:
        """Say whether two looks after its time know no such order, the later asked `LAG` after the answer to the other.

        Copies of the books may be so far behind: what the first look missed, for one did not show it yet, or another
        one not yet as closed, the second finds.
        """
        since = tracked.absent_from
        return since is not None and tracked.denied_at - since >= self._patience

    def _due_in(self, tracked: Tracked) -> float:
        """Return in how many seconds the next look may prove what those before did not; 0 for now.

        Orders that are looked for by the same questions wait a little for each other, so that fewer are asked.
        """
        due, asked = self._due_at(tracked), self._found_by(tracked)
        unknown = (each for each in self._register.open() if each.told is OrderState.UNKNOWN)
        alike = (self._due_at(each) for each in unknown if self._found_by(each) == asked)
        together = FIRST_TOGETHER if tracked.absent_from is None else TOGETHER
        together = together if self.is_short(tracked) else GRACE
        left = max((due, *(other for other in alike if other < due + together))) - self._way.pulse.steady()
        return left + _MOMENT if left > 0 else 0.0

    def _due_at(self, tracked: Tracked) -> float:
        """Return from when on (steady seconds) a look that knows no such order counts, or proves it."""
        if (since := tracked.absent_from) is not None:
            return since + self._patience
        return self._way.pulse.steady() + (self._late(tracked) - self._way.wire.now()) / SECOND_NS

    def _found_by(self, tracked: Tracked) -> list[str]:
        return [name_of(call) for call in self._dialect.find(tracked.view())]

    @property
    def _patience(self) -> float:
        return LAG if self._dialect.finds else UNSHOWN

    def _late(self, tracked: Tracked) -> int:
        """Return from when on (ns of the venue's time) an order cannot arrive any more."""
        left = max(tracked.sent_at, tracked.left_by)
        return left + round((self._dialect.capability.window + GRACE) * SECOND_NS)

    async def let_it_show(self) -> None:
        """Look up orders that the venue had until one is found: only then does it count when another is not."""
        for tracked in () if self._dialect.finds else _once_there(self._register):
            with suppress(VenueError):
                await self.look(tracked)
            if self._dialect.finds:
                return

    async def look(self, tracked: Tracked, but: Sequence[Call] = ()) -> OrderReport | None:
        """Ask for one order, by no question of `but`: they were asked a moment ago.

        Returns None when the venue knows none; raises VenueError when there is no answer. Where it answers for all
        orders at once, whatever else is looked for is found, or not, by the same answers.
        """
        answers, found, came = dict[str, Answer](), None, self._way.pulse.steady()
        for call in self._dialect.find(tracked.view()):
            if call._replace(told=None) in but:
                continue
            answer = answers[name_of(call)] = await self.ask(call._replace(is_urgent=True), came=came)
            if (found := self._said(tracked, answer)) is not None:
                break
        if found is None and answers:
            self._note_no(tracked, _asked_at(answers))
        self._overhear(tracked, answers)
        if found is not None and tracked.owes:
            since = tracked.sent_at - OVERLAP
            await self.sweep_one(tracked.request.instrument, since, urgent=True, came=came)
        return found

    def _said(self, tracked: Tracked, answer: Answer) -> OrderReport | None:
        """Take what an answer says of an order; None where it says nothing of its life of now. Raises VenueError."""
        report = self._dialect.found(answer, tracked.request.instrument)
        if report is None or _is_of_another_life(tracked, report):
            return None
        self._register.report(report, self._now())
        return None if report.venue_id in tracked.past else report

    def _overhear(self, asked: Tracked, answers: Mapping[str, Answer]) -> None:
        """Take what the answers to a look say of other orders that would have been looked for by the same questions."""
        for tracked in list(self._register.open()):
            if tracked is asked or not (tracked.told is OrderState.UNKNOWN or tracked.unsettled):
                continue
            calls = list(self._dialect.find(tracked.view()))
            if calls and all(name_of(call) in answers for call in calls):
                with suppress(VenueError):  # that concerns who asks for it
                    told = (
                        self._said(tracked, answers[name_of(each)]._replace(told=each.told)) for each in calls
                    )
                    is_denied = all(report is None for report in told)
                    is_whole = answers.keys() >= set(
                        self._found_by(tracked)
                    )  # else a page may have been full
                    if is_denied and is_whole:
                        self._note_no(tracked, _asked_at(answers))

    # --- all of them

    async def list_orders(self) -> list[tuple[OrderReport, Tracked | None]]:
        """Ask for all open orders; return what the venue says of each, with the order if it is one of ours."""
        asked_at = self._way.wire.now()
        found = [
            (each, self._register.report(each, self._now()))
            async for each in open_orders_of(self._dialect, self.ask)
        ]
        for report, tracked in found:
            if tracked is not None and tracked.is_closed and not report.state.is_closed:
                self._register.orphans[report.key] = report  # another life of it was thought to be the last
        self._forget_others({report.key for report, _ in found}, asked_at)
        return found

    def _forget_others(self, listed: Container[OrderKey], asked_at: int) -> None:
        """Forget open orders of others that the venue lists no more; it was asked at `asked_at`, in its time."""
        foreign = self._register.foreign
        for key, report in list(foreign.items()):
            if key not in listed and not report.state.is_closed and report.ts < asked_at:
                del foreign[key]

    async def sweep(self, after: float = inf) -> None:
        """Ask for executions since the newest known, of every instrument, and for funding.

        What was asked `after` that moment (steady seconds), by whomever, is not asked again.
        """
        asked, now = dict[str, Asked](), self._way.wire.now()
        due = [each for each in self._dialect.instruments if self._swept_at.get(each, -inf) < after]
        # Where one question tells of all instruments it is the same for each.
        since = min((self._swept.get(each, now) for each in due), default=now) - OVERLAP
        for instrument in due:
            await self.sweep_one(instrument, since, asked=asked)
        await self.ask_payments()

    async def sweep_in_time(self) -> None:
        """Ask for the same once nobody has for `FILLS`; after a failure at once, unless somebody has since."""
        pulse, contracts, after = self._way.pulse, self._dialect.contracts, self._failed_at
        while after is None:
            swept_at = min(self._swept_at.get(each, -inf) for each in self._dialect.instruments)
            left = (swept_at if contracts is None else self._payments_at) + FILLS - pulse.steady()
            if left < _MOMENT:
                break
            await pulse.sleep(left)
        self._failed_at = pulse.steady()
        await self.sweep(inf if after is None else after)
        self._failed_at = None

    async def ask_payments(self) -> None:
        """Ask for funding since the newest known."""
        asked_at, contracts = self._way.wire.now(), self._dialect.contracts
        began = self._way.pulse.steady()
        if contracts is None:
            return
        call = contracts.payments((self._paid_at or asked_at) - FUNDING_OVERLAP)
        while call is not None:
            page = contracts.read_payments(await self.ask(call))
            for moved in page.moved:
                self._register.moved(moved, self._dialect.venue, self._now())
            call = page.following(call)
        self._paid_at, self._payments_at = asked_at, began

    async def sweep_one(
        self,
        instrument: str,
        since: int,
        *,
        urgent: bool = False,
        came: float = inf,
        asked: MutableMapping[str, Asked] | None = None,
    ) -> set[str]:
        """Ask for the executions in an instrument from `since` (ns UTC) until now, and since the time before.

        What has been `asked` is not asked again: some venues answer for all instruments at once. Returns the ids of all
        that are listed.
        """
        asked, left, listed = {} if asked is None else asked, list[float](), set[str]()
        since = min(since, self._swept.get(instrument, since + OVERLAP) - OVERLAP)
        until = self._way.wire.now()
        is_whole = self._dialect.listed_for is None
        about = name_of(self._dialect.executions(instrument, 0)) if is_whole else ""
        for first in executions_until(self._dialect, instrument, since, until):
            call: Call | None = first._replace(is_urgent=first.is_urgent or urgent)
            while call is not None:
                if (name := name_of(call)) not in asked:
                    asked[name] = await self._questions.ask_since(call, about, since, came)
                    about = ""  # whatever follows goes on where that ended
                call, answer = asked[name]
                left.append(answer.left_at)
                page = self._dialect.read_executions(answer, instrument)
                listed |= {each.id for each in page.executions if each.instrument == instrument}
                for execution in page.executions:
                    if self._register.execution(execution, self._now(), page.executions):
                        self._on_news(execution)
                for moved in page.moved:
                    self._register.moved(moved, self._dialect.venue, self._now())
                call = page.following(call)
        self._swept_at[instrument] = min(left)
        self._swept[instrument] = until
        return listed

    async def ask_owed(self) -> None:
        """Ask for the executions that the venue has reported and that were not told, and in which lives others were."""
        since: dict[str, int] = {}
        unplaced = [each for each in self._register.open() if each.is_to_be_sought]
        for each in (*self._register.owing(), *unplaced):
            name = each.request.instrument
            since[name] = min(since.get(name, each.sent_at), each.sent_at)
        for instrument, moment in since.items():
            await self.sweep_one(instrument, moment - OVERLAP)
        for each in unplaced:
            self._register.sought(each, self._now())

    async def explain_strays(self) -> bool:
        """Find out whose the executions are that belong to no order that we know; say whether some are not ours."""
        before = len(self._register.strays)
        # One that is absent for so long is nobody's: it waits for these to be explained before it is abandoned.
        in_flight = [
            each.request.instrument
            for each in self._register.open()
            if each.told in (OrderState.SENT, OrderState.UNKNOWN) and not self.is_absent(each)
        ]
        for key, found in list(self._register.strays.items()):
            may_be_ours = self._dialect.tells_whose and self._register.nameless(found[0])
            if may_be_ours and await self._ask_whose(found[0]):
                self._register.disown(key, self._now())
                continue
            if key in self._register.forced:
                if found[0].instrument in in_flight or not await self._has_listed(found):
                    continue
            elif key not in self._register.foreign and in_flight:
                continue
            for tracked in self._register.nameless(found[0]):  # of an earlier process
                if key not in self._register.strays or key in self._register.forced:
                    break
                if tracked.id not in self._looked and await self.look(tracked) is None:
                    if self._dialect.finds or self.is_absent(tracked):
                        self._looked.add(tracked.id)
                    else:
                        raise VenueError(
                            f"{self._dialect.venue} has not shown yet that it finds orders by our id.",
                            "It is asked again.",
                        )
            if not self._dialect.tells_whose:
                await self._ask_whose(found[0])
            self._register.disown(key, self._now())
        return len(self._register.strays) < before

    async def _has_listed(self, forced: Sequence[Execution]) -> bool:
        """Say whether the venue lists what it did of its own will, and all before it: what that closed is told first.

        What nobody is known to hold would be booked as the owner's. A copy that lags may list less for a while.
        """
        first = forced[0]
        listed = await self.sweep_one(first.instrument, first.ts - OVERLAP, urgent=True)
        is_old = self._way.wire.now() - first.ts > round(self._patience * SECOND_NS)
        return is_old or all(each.id in listed for each in forced)

    async def _ask_whose(self, execution: Execution) -> bool:
        """Find out who placed the order behind an execution, the venue itself perhaps; say if that is told."""
        key = execution.key
        is_open = key in self._register.strays and key not in self._register.forced
        if not (is_open and self._dialect.asks_whose):
            return False
        report = await self._by_number(execution)
        if report is not None:
            self._register.report(report, self._now())
        return report is not None

    async def look_at_others(self) -> None:
        """Ask for the orders of which it is not known whether another bot placed them while we ran."""
        register, witness = self._register, self._register.witness
        for report in list(witness.undated.values()):
            told = await self._by_number(report) or report
            register.report(replace(told, created=told.created or told.ts), self._now())
        for execution in list(witness.suspects):
            found = await self._by_number(execution)
            witness.suspects.clear()
            if found is not None:
                register.report(found, self._now())

    async def _by_number(self, news: Execution | OrderReport) -> OrderReport | None:
        call = self._dialect.whose(news)._replace(is_urgent=True)  # proofs wait for it
        return self._dialect.found(await self.ask(call), news.instrument)

    def _now(self) -> int:
        return self._way.pulse.wall()


def _asked_at(answers: Mapping[str, Answer]) -> float:
    """Return when the first of some questions left, in steady seconds."""
    return min(each.left_at for each in answers.values())


def _is_of_another_life(tracked: Tracked, report: OrderReport) -> bool:
    """Say whether a report is of what bore the id before a restart, where exits give way and go back under it."""
    is_other = tracked.venue_id not in ("", report.venue_id) and report.venue_id not in tracked.past
    return tracked.may_have_returned and is_other


def _once_there(register: Register) -> list[Tracked]:
    """Return a few of our orders that the venue had: the newest that stand there, and the newest that ended."""
    found = [each for each in register if each.was_there]
    standing = [each for each in found if each.is_standing and each.told is not OrderState.UNKNOWN]
    return standing[:-4:-1] + [each for each in found if each.is_closed][:-4:-1]
