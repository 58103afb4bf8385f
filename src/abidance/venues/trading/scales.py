"""An account beside our own books: asked, weighed, and doubted for as long as the two differ or cannot be compared.

What is under way is allowed for: an account may have traded as much of it as we do not know, and nothing beyond. It
asks for money and positions alone; what became of orders is for others to ask.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from abidance.model.money import ZERO
from abidance.model.order import OrderRequest
from abidance.risk.circuits import Sign
from abidance.venues.account import AccountDialect, Exposure, Funds
from abidance.venues.trading.books import ANY, AT_MARKET, Books, Gap, Lack, Loose, told
from abidance.venues.trading.inquiry import LAG, Inquiry
from abidance.venues.trading.line import Way
from abidance.venues.trading.register import Register
from abidance.venues.trading.tracked import Tracked

BOOKS, OWED, UNWEIGHED, STRAINED = "books", "owed", "unweighed", "strained"
"""The causes of the doubts that an account differs from our books, that fills of it are missing, that it was not
compared, and that the venue may soon take what it lent."""
PATIENCE = 60.0
"""Seconds for which a comparison in which nothing may be under way waits for that: one in part proves nothing."""
PAUSE = 1.0
"""Seconds between two looks at an account in which something is under way, or that seems to differ."""
OVERDUE = 30.0
"""Seconds after which fills that the venue has reported, and does not list, are a doubt."""
UNLISTED = ", and no execution of it is listed."
"""How the text ends that tells of such fills."""
LONGEST_UNWEIGHED = 600.0
"""Seconds without a whole comparison after which that is a doubt: something was under way whenever one was tried."""


class UnderWay(NamedTuple):
    """What of an account is not clear, and how many executions are."""

    orders: tuple[Loose, ...]
    heard: int

    def __bool__(self) -> bool:
        return bool(self.orders)


class _Owing(NamedTuple):
    """Since when fills of an order are missing, and how much of it was listed all that time."""

    since: float
    listed: Decimal


def under_way(register: Register) -> UnderWay:
    """Return what may have traded and is not told: outcomes unknown, fills owed, executions unexplained."""
    found = [
        Loose(each.request.instrument, each.request.side, each.in_question, each.request.price)
        for each in register.open()
        if each.in_question
    ]
    strays = (each for waiting in register.strays.values() for each in waiting)
    found += [Loose(each.instrument, each.side, each.quantity, each.price) for each in strays]
    return UnderWay(tuple(found), len(register.heard))


class Scales:
    """Weighs one account.

    `doubts` are those in force, `doubt` takes another one, `inquiry` asks. `asked` is at what price an
    instrument can be bought now, None where that is not known.
    """

    def __init__(
        self,
        dialect: AccountDialect,
        register: Register,
        way: Way,
        books: Books,
        doubts: Mapping[str, str],
        doubt: Callable[[str, str], None],
        inquiry: Inquiry,
        asked: Callable[[str], Decimal | None],
    ) -> None:
        self.funds: dict[str, Funds] = {}
        self._is_told = False
        self.was_whole = False
        """Whether all of the account was compared with our books, with nothing under way."""
        self._exposures: Iterable[Exposure] = ()
        self._dialect = dialect
        self._register = register
        self._way = way
        self._books = books
        self._doubts = doubts
        self._doubt = doubt
        self._inquiry = inquiry
        self._asked = asked
        self._whole_at: float | None = None
        self._owing: dict[str, _Owing] = {}
        self._is_proving = False

    async def compare_later(self, *, urgent: bool = False) -> bool:
        """Compare the account once nothing is under way any more, or after a while all the same: that proves less."""
        if under_way(self._register):
            await self.until_clear(PATIENCE)
        return await self.compare(urgent=urgent)

    async def until_clear(self, longest: float) -> None:
        """Wait until nothing is under way that keeps the account from being weighed whole, so many seconds at most."""
        pulse = self._way.pulse
        until = pulse.steady() + longest
        await pulse.sleep(PAUSE)
        while under_way(self._register) and pulse.steady() < until:
            await pulse.sleep(PAUSE / 4)

    async def compare(self, *, urgent: bool = False) -> bool:
        """Compare the account with our books and say whether that came to a result.

        It waits a little for what is under way; what is new may be a fill nobody told of. Raises VenueError.
        """
        has_swept = BOOKS in self._doubts
        for is_last in (False, False, True):
            before = under_way(self._register)
            if before and self._way.wire.delay(self._dialect.funds()) > 0:  # others have more need of it
                return False
            if is_last or not before:
                before = await self._ask(urgent=urgent)
                after = under_way(self._register)
                if not before and before == after and (has_swept or is_last or not self.gaps()):
                    self.weigh()
                    self.was_whole, self._whole_at = True, self._way.pulse.steady()
                    self.heed_time()
                    return True
                if is_last and before == after:
                    return self._weigh_in_part([self._bounded(each) for each in before.orders])
                if not (has_swept or before or after) and self.gaps():
                    await self._inquiry.sweep()
                    has_swept = True
            await self._way.pulse.sleep(PAUSE)
        return False

    async def _ask(self, *, urgent: bool = False) -> UnderWay:
        """Ask what the account has; return what was under way as the question left."""
        owed = {asset for asset, each in self.funds.items() if each.debt}
        before = list[UnderWay]()
        funds = await self._ask_funds(lambda: before.append(under_way(self._register)), urgent=urgent)
        if any(asset not in funds or not funds[asset].debt for asset in owed):  # one answer may leave it out
            await self._way.pulse.sleep(PAUSE)
            funds = await self._ask_funds()
        self.funds, self._is_told = funds, True
        if (call := self._dialect.exposures()) is not None:
            self._exposures = self._dialect.read_exposures(await self._way.wire.ask(call))
        return before[-1]

    def most(self, asset: str) -> Decimal:
        """Return how much of an asset is there at most, by the venue's last word and by our books.

        Before its first word that may be anything: not all that is there has to be ours.
        """
        if not self._is_told:
            return ANY
        there = self.funds.get(asset)
        return max(there.total if there else ZERO, self._books.funds().get(asset, ZERO))

    async def _ask_funds(
        self, leaving: Callable[[], None] | None = None, *, urgent: bool = False
    ) -> dict[str, Funds]:
        call = self._dialect.funds()._replace(is_urgent=urgent)
        answer = await self._inquiry.ask(call, leaving=leaving)
        found = self._dialect.read_funds(answer)
        if self._dialect.strain is not None:
            self._doubt(STRAINED, self._dialect.strain(answer))
        return {each.asset: each for each in found}

    def gaps(self, loose: Iterable[Loose] = ()) -> list[Gap]:
        """Return in what the account, as it was asked last, differs from our books now beyond what is `loose`."""
        return self._books.gaps(self._dialect, self.funds, self._exposures, loose)

    def weigh(self, proven: Collection[Lack] = ()) -> None:
        """Doubt the account for as long as it differs from our books; what is `proven` to lack its owner took."""
        lacks = self._books.settle(self.funds, proven)
        if lacks and not self._is_proving:
            self._is_proving = True
            self._way.spawn(self._prove(lacks))
        found, before = told(self.gaps()), self._doubts.get(BOOKS)
        self._doubt(BOOKS, found)
        if not found and not self._books.moving():
            self._books.agreed()
        if not found or not before:
            self._way.signs(Sign.DIFFERED if found else Sign.AGREED, 0.0, found)

    async def _prove(self, lacks: Sequence[Lack]) -> None:
        """Let strategies lose what its owner took of the account, if just that lacks after `LAG` as well.

        Until then copies may not have shown what we bought, nor listed what we sold: nobody else has that to lose, and
        what is booked as lost is not taken back.
        """
        try:
            await self._way.pulse.sleep(LAG)
            await self._inquiry.sweep()
            before = await self._ask()
            if not before and before == under_way(self._register):
                self.weigh(lacks)
        finally:
            self._is_proving = False

    def _weigh_in_part(self, loose: Sequence[Loose]) -> bool:
        """Doubt the account if it differs by more than what is under way; that it does not is no proof.

        Return whether it was compared: nothing bounds what may have been paid where no price is known.
        """
        if (found := told(self.gaps(loose))) and BOOKS not in self._doubts:
            self._doubt(BOOKS, found)
            self._way.signs(Sign.DIFFERED, 0.0, found)
        return all(each.price is not None for each in loose)

    def _bounded(self, each: Loose) -> Loose:
        """Return what may have traded with the most at which it can have, where its limit does not say that."""
        if each.price is not None and not self._dialect.instruments[each.instrument].is_perpetual:
            return each
        asked = self._asked(each.instrument)
        return each._replace(price=None if asked is None else max(each.price or asked, asked * AT_MARKET))

    def heed_time(self) -> None:
        """Doubt the account while it was not compared whole for too long."""
        now = self._way.pulse.steady()
        self._whole_at = now if self._whole_at is None else self._whole_at
        late = now - self._whole_at > LONGEST_UNWEIGHED
        text = f"the account was not compared with our books for {LONGEST_UNWEIGHED / 60:g} minutes: too much was under way."
        self._doubt(UNWEIGHED, text if late else "")

    def heed_debts(self) -> None:
        """Doubt the account once fills are missing for so long that nobody can say whether they will be found."""
        now, before = self._way.pulse.steady(), self._owing
        self._owing = {}
        for each in self._register.owing():
            known = before.get(each.id, _Owing(now, each.filled))
            self._owing[each.id] = known if known.listed == each.filled else _Owing(now, each.filled)
        self._doubt(OWED, self._unlisted())

    def overdue(self) -> list[Tracked]:
        """Return the orders of which fills are missing for so long that this is a doubt."""
        return [each for each in self._register.owing() if self._is_overdue(each)]

    def _is_overdue(self, owing: Tracked) -> bool:
        now = self._way.pulse.steady()
        known = self._owing.get(owing.id, _Owing(now, owing.filled))
        return known.listed == owing.filled and now - known.since > OVERDUE

    def _unlisted(self) -> str:
        missing = [
            f"{each.missing.normalize():f} of {each.request.instrument} has filled of order {each.id}"
            for each in self.overdue()
        ]
        return f"{'; '.join(missing)}{UNLISTED}" if missing else ""

    # --- what a person may accept

    def seen(self) -> str:
        """Return, in words, which fills are missing for good and in what the account differs; empty for nothing."""
        return " ".join(filter(None, (self._unlisted(), told(self.gaps()))))

    def is_clear(self) -> bool:
        """Say whether nothing may have traded that was not told, but for fills that are overdue."""
        known = {each.id for each in self.overdue()}
        unclear = [each for each in self._register.open() if each.in_question]
        is_known = all(each.id in known and each.in_question == each.missing for each in unclear)
        return is_known and not self._register.strays

    def concede(self, price: Callable[[OrderRequest], Decimal], ref: str) -> None:
        """Book the fills that are overdue at a price of ours; `ref` names the adjustment and is unique."""
        for each in self.overdue():
            self._register.concede(each, price(each.request), ref, self._way.wire.now())
        self.heed_debts()
