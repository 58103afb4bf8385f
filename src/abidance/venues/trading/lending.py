"""Loans of one account: each asked for once, and proven by what the account owes, because no venue tells it otherwise.

One loan at a time: what is owed is read before it leaves and after it, and whoever sees it differ by the amount, and by
the interest that is listed since, has the proof. No answer, or an odd one, leaves it UNKNOWN; it is never asked for
again. Interest is booked by the venue's own list, hour by hour, once.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from abidance.model.errors import JournalError, VenueError
from abidance.model.event import AccountEvent, BalanceChanged, DebtChanged, LoanTold
from abidance.model.instrument import SECOND_NS
from abidance.model.loan import Loan, LoanState
from abidance.model.money import ZERO
from abidance.venues.account import AccountDialect, Call, Funds, Lender, Moved, Proof, Reply
from abidance.venues.net.transport import DisconnectedError, NotSentError
from abidance.venues.trading.books import DUST, slack
from abidance.venues.trading.inquiry import ALARM, GRACE, LAG
from abidance.venues.trading.line import Way

PATIENCE = 15.0
"""Seconds after which an outcome that does not show is told as unknown."""
LISTED = 60 * SECOND_NS
"""How old interest must be before it is booked, in ns: by then the debt has it, too."""
INTEREST = 60.0
"""Seconds between questions for interest, while anything is owed."""
WINDOW = 29 * 86_400 * SECOND_NS
"""How much interest one question asks for, in ns; venues answer thirty days."""
OVERLAP = 7_200 * SECOND_NS
UNLISTED = 180.0
"""Seconds after which interest that the venue says is owed, and no list has, is booked without one."""
MINUTE = 60 * SECOND_NS
READY = 0.5
"""Seconds between looks whether anything may be asked."""
LOAN, FAILED = "loan", "lending"
"""The causes of the doubts that the outcome of a loan is not known, and that the program itself failed over loans."""
_INTEREST = "interest"


class Account(Protocol):
    """What our own books say of the account, everything that was told included."""

    def owed(self, asset: str) -> Decimal:
        """Return our debt of an asset."""
        ...

    def wallet(self, asset: str) -> Decimal:
        """Return what our ledger has of an asset."""
        ...

    def held(self, asset: str) -> Decimal:
        """Return how much of an asset strategies hold."""
        ...

    def debts(self) -> Mapping[str, int]:
        """Return since when (ns UTC) something is owed of each asset of which anything is."""
        ...

    def has(self, event: DebtChanged) -> bool:
        """Say whether a change of a debt was booked before."""
        ...


class _Heard:
    """The newest answer: what it says, how often it was given in a row, and since when (ns)."""

    def __init__(self) -> None:
        self.times = self.since = 0
        self._moved = ZERO
        self.verdict: bool | None = None

    def take(self, verdict: bool | None, moved: Decimal, most: Decimal, now: int) -> None:
        """Take an answer; it is the same as the last one when it differs by no more than `most`."""
        if not (self.times and verdict is self.verdict and abs(moved - self._moved) <= most):
            self.times, self.since = 0, now
        self.times += 1
        self.verdict, self._moved = verdict, moved

    def stays(self, now: int, seconds: float) -> bool:
        """Say whether several answers said the same, for so many seconds."""
        return self.times > 1 and now - self.since >= seconds * SECOND_NS


class Lending:
    """The loans of one account at one venue; `run` it, and `hand` it what may be asked for.

    `tell` takes what became of them, `doubt` a reason against new risk by its cause. Until it `is_ready` (the clock was
    compared) nothing is asked.
    """

    def __init__(
        self,
        dialect: AccountDialect,
        lender: Lender,
        way: Way,
        account: Account,
        tell: Callable[[AccountEvent], None],
        doubt: Callable[[str, str], None],
        is_ready: Callable[[], bool],
    ) -> None:
        self.venue = dialect.venue
        self._dialect = dialect
        self._lender = lender
        self._way = way
        self._account = account
        self._tell = tell
        self._doubt = doubt
        self._turn = asyncio.Lock()
        self._is_ready = is_ready
        self.unclear: set[str] = set()
        """The assets of which the debt changed by something that no loan explains: a person is to look."""
        self._doubted: set[str] = set()
        self._gone: set[str] = set()
        self._left: list[Loan] = []
        self._since = 0
        self._unlisted: dict[str, _Heard] = {}

    def hand(self, loan: Loan) -> None:
        """Ask the venue for a loan, once what is on record now is on the disk."""
        self._way.spawn(self._ask_once(loan, self._way.record.seq))

    def recover(self, loans: Iterable[Loan], since: int, may_have_left: Callable[[str], bool]) -> None:
        """Take over loans of an earlier process; interest is asked for from `since` (ns UTC) on."""
        self._since = since
        for loan in loans:
            if may_have_left(loan.id):
                self._left.append(loan)
            else:
                self._told(loan, LoanState.REFUSED, "not sent: the program ended before.")

    async def run(self) -> None:
        """Find what became of earlier loans, then book interest, until cancelled."""
        for loan in self._left:
            self._unknown(loan, "the program was not running.")
        while not self._is_ready():
            await self._way.pulse.sleep(READY)
        while True:
            try:
                await self._way.wire.prepare()
                await self._resume()
                await self.ask_interest()
            except (VenueError, JournalError) as error:
                self._way.log.warning("lending_failed", reason=error.found)
            except Exception as error:
                self._way.log.error("lending_failed", exc_info=error)
                self._doubt(FAILED, f"what is owed cannot be followed: {_failure(error)}.")
            else:
                self._doubt(FAILED, "")
            await self._way.pulse.sleep(INTEREST)

    async def _resume(self) -> None:
        while self._left:
            async with self._turn:
                loan = self._left[0]
                await self._prove(loan, loan.amount, was_taken=False)
                self._left.pop(0)

    # --- one loan

    async def _ask_once(self, loan: Loan, recorded_as: int) -> None:
        async with self._turn:
            try:
                await self._ask(loan, recorded_as)
            except Exception as error:
                self._failed(loan, error)
                raise

    def _failed(self, loan: Loan, error: Exception) -> None:
        """See to a loan over which the program itself failed: unless it has left, nothing comes of it."""
        if loan.id in self._gone:
            self._unknown(loan, f"{_failure(error)}.")
            self._left.append(loan)
        else:
            self._told(loan, LoanState.REFUSED, f"not sent: {_failure(error)}.")

    async def _ask(self, loan: Loan, recorded_as: int) -> None:
        try:
            await self._way.record.done(recorded_as)
            funds = await self._funds(loan.asset)
            if abs(funds.debt - self._account.owed(loan.asset)) > DUST:  # interest, or a doubt
                await self._due()
                funds = await self._funds(loan.asset)
            amount = self._sound(loan, funds)
        except VenueError as error:
            self._told(loan, LoanState.REFUSED, f"not sent: {error.found}")
            return
        reply = await self._sent(loan, amount)
        if reply.proof in (Proof.REFUSED, Proof.LATE):
            self._told(loan, LoanState.REFUSED, reply.reason)
            return
        if reply.proof is not Proof.DONE:
            self._unknown(loan, reply.reason or reply.proof.value)
        await self._prove(loan, amount, was_taken=reply.proof is Proof.DONE)

    def _sound(self, loan: Loan, funds: Funds) -> Decimal:
        """Return what is to be asked for, by what the account has and owes now. Raises NotSentError.

        Interest that is not booked yet is waited for: otherwise it would be taken for a part of the loan.
        """
        ours = self._account.owed(loan.asset)
        if abs(funds.debt - ours) > DUST:
            is_interest = abs(funds.debt - ours) <= slack(funds.debt, ours)
            remedy = "Try again in a few minutes." if is_interest else "Look at abidance reconcile."
            found = f"{loan.asset} owed: the venue says {funds.debt}, our books {ours}."
            raise NotSentError(f"{found} {remedy}", remedy)
        amount = -funds.debt if loan.is_whole else loan.amount
        free = funds.free - self._account.held(loan.asset)
        if -amount > max(free, ZERO):
            raise NotSentError(f"{max(free, ZERO)} {loan.asset} are free at {self.venue}", "Repay less.")
        return amount

    async def _sent(self, loan: Loan, amount: Decimal) -> Reply:
        """Let the request leave, once, and return what its answer proves."""
        wish = self._lender.repay if loan.is_repayment else self._lender.borrow

        def leaving() -> None:
            self._way.departs(loan.id)
            self._gone.add(loan.id)

        try:
            answer = await self._way.wire.ask(wish(loan.asset, abs(amount)), leaving)
        except NotSentError as error:
            return Reply(Proof.REFUSED, f"not sent: {error.found}", has_left=False)
        except DisconnectedError as error:
            return Reply(Proof.UNKNOWN, error.found)
        return self._lender.proof(answer)

    async def _prove(self, loan: Loan, amount: Decimal, *, was_taken: bool) -> None:
        """Ask what the account owes until that proves what became of a loan.

        It was done when the debt differs from our books by its amount. It was not when, after its time and without an
        answer that it was taken, the debt stays as it was. Interest that is not booked yet is allowed for; where that
        leaves both, or neither, it stays unknown until a person has accepted what is owed.
        """
        pulse, wire, pauses = self._way.pulse, self._way.wire, self._dialect.ask_again
        began, attempt, heard = pulse.steady(), 0, _Heard()
        late = wire.now() + round((self._dialect.capability.window + GRACE) * SECOND_NS)
        while True:
            try:
                due = await self._due(loan) if wire.now() > loan.ts + LISTED else ZERO
                there = (await self._funds(loan.asset)).debt
            except VenueError as error:  # no answer is not the answer "no"
                self._way.log.warning("debt_not_told", reason=error.found)
            else:
                moved, now = there - self._account.owed(loan.asset), wire.now()
                most = slack(there, there - moved)
                verdict = _judged(moved, amount, due, most)
                if verdict or now >= late:
                    heard.take(verdict, moved, most, now)
                # A debt that is missing may have been left out of one answer.
                if verdict and (there or heard.stays(now, 0 if was_taken else GRACE)):
                    self._done(loan, moved, amount)
                    return
                if not verdict and now >= late and heard.stays(now, ALARM if was_taken else LAG):
                    if verdict is False:
                        why = "after its time the account owes what our books say, in several answers."
                        self._told(loan, LoanState.REFUSED, why)
                        return
                    self._leave_open(loan, moved)
            if pulse.steady() - began > PATIENCE:
                self._unknown(loan, "it does not show in what the account owes.")
            is_left = loan.asset in self.unclear
            await pulse.sleep(INTEREST if is_left else pauses[min(attempt, len(pauses) - 1)])
            attempt += 1

    def _done(self, loan: Loan, owed: Decimal, amount: Decimal) -> None:
        """Book a loan; what its repayment needed beyond our own came from the account's.

        The debt becomes the venue's to the last digit, unless interest came meanwhile, which is booked by its own hour.
        """
        owed = owed if abs(owed - amount) <= DUST else amount
        now, venue, asset = self._way.pulse.wall(), self.venue, loan.asset
        short = -(self._account.wallet(asset) + amount)
        if short > 0 and loan.is_repayment:
            self._tell(
                BalanceChanged(now, venue, asset, short, "interest paid from what else the account has")
            )
        reason = "repaid" if loan.is_repayment else "borrowed"
        # From when it was asked for: the interest of each hour since is its.
        self._tell(DebtChanged(loan.ts, venue, asset, owed, amount, reason, loan.id, loan.id))
        self._over(loan)

    def _leave_open(self, loan: Loan, moved: Decimal) -> None:
        """Let the account be compared, once nobody can tell what became of a loan: a person may accept what is owed."""
        if loan.asset not in self.unclear:
            self.unclear.add(loan.asset)
            why = f"what is owed changed by {moved}, which does not tell: see abidance reconcile."
            self._told(loan, LoanState.UNKNOWN, why)
            self._doubt(LOAN, f"the outcome of {loan} is not known: {why}")

    def _unknown(self, loan: Loan, why: str) -> None:
        if loan.id not in self._doubted:
            self._doubted.add(loan.id)
            self._told(loan, LoanState.UNKNOWN, why)
            self._doubt(LOAN, f"the outcome of {loan} is not known.")

    def _told(self, loan: Loan, state: LoanState, reason: str) -> None:
        self._tell(LoanTold(self._way.pulse.wall(), loan.id, state, reason))
        if state.is_closed:
            self._over(loan)

    def _over(self, loan: Loan) -> None:
        self.unclear.discard(loan.asset)
        self._doubt(LOAN, "")

    # --- interest

    async def ask_interest(self) -> None:
        """Book the interest that was charged since it was asked for last."""
        if not self._turn.locked():
            async with self._turn:
                await self._due()
                if not self._lender.lists_all:
                    await self._book_unlisted()

    async def _due(self, loan: Loan | None = None) -> Decimal:
        """Book the interest that was charged since it was asked for last, and return that of a loan's asset.

        That is not booked: whether it is owed or was paid is seen together with what became of the loan.
        """
        asked_at, since = self._way.wire.now(), dict(self._account.debts())
        if loan is not None:
            since.setdefault(loan.asset, loan.ts)
        if not since:
            self._since = asked_at
            return ZERO
        until = asked_at - LISTED
        rows = await self._charged(self._since or asked_at, until)  # of nothing, too: it closes a rounding
        ours = [each for each in rows if self._begins(since.get(each.asset, asked_at)) < each.ts <= until]
        news = [each for each in ours if not self._is_booked(each)]
        waits = [each for each in news if loan is not None and each.asset == loan.asset]
        if booked := [each for each in news if each not in waits]:
            funds = await self._all_funds()
            for asset in dict.fromkeys(each.asset for each in booked):
                self._book([each for each in booked if each.asset == asset], funds.get(asset))
        if not waits:
            self._since = max(until, self._since)
        return -sum((each.amount for each in waits), ZERO)

    def _is_booked(self, row: Moved) -> bool:
        """Say whether interest was booked before: by its own id, or without a list in a minute after it."""
        ids = [row.id]
        if not self._lender.lists_all:
            ids += map(_unlisted, range(row.ts // MINUTE + 1, (row.ts + OVERLAP) // MINUTE + 1))
        rows = (msgspec.structs.replace(row, id=each) for each in ids)
        return any(self._account.has(self._event(each, ZERO, ZERO)) for each in rows)

    async def _book_unlisted(self) -> None:
        """Book by how much a debt stays above our books, while the venue says that this is interest.

        The lists that should have it were asked for in between.
        """
        found, now = await self._all_funds(), self._way.wire.now()
        for asset in self._account.debts():
            funds = found.get(asset) or Funds(asset, ZERO, ZERO)
            more = funds.debt - self._account.owed(asset)
            heard = self._unlisted.setdefault(asset, _Heard())
            heard.take(DUST < more <= min(funds.interest, slack(funds.debt)), more, DUST, now)
            if heard.verdict and heard.stays(now, UNLISTED):
                row = Moved(asset, -more, now, _INTEREST, _unlisted(now // MINUTE))
                self._tell(self._event(row, more, ZERO))

    def _begins(self, since: int) -> int:
        """Return after which moment (ns UTC) interest is of what is owed since then."""
        rounds = self._lender.rounds
        return since // rounds * rounds - 1 if rounds else since

    async def _charged(self, since: int, until: int) -> list[Moved]:
        found: dict[tuple[str, str], Moved] = {}
        for start in range(since - OVERLAP, until, WINDOW):
            call: Call | None = self._lender.interest(start)
            while call is not None:
                page = self._lender.read_interest(await self._way.wire.ask(call))
                found |= {(each.asset, each.id): each for each in page.moved}
                call = page.following(call)
        return sorted(found.values(), key=lambda each: each.ts)

    def _book(self, rows: list[Moved], funds: Funds | None) -> None:
        """Book interest of one asset: on the debt if that has grown by it, from the wallet if it has not grown at all.

        What rounding makes different is booked with the last, so that our books have the debt as the venue has it.
        """
        asset, there = rows[0].asset, ZERO if funds is None else funds.debt
        whole = -sum((each.amount for each in rows), ZERO)
        grown, rounding = there - self._account.owed(asset), max(len(rows) * DUST, whole / 100)
        is_paid = abs(grown) <= len(rows) * DUST < whole
        rest = grown - (ZERO if is_paid else whole)
        for row in rows:
            more = rest if row is rows[-1] and abs(rest) <= rounding else ZERO
            owed, received = (more, row.amount) if is_paid else (more - row.amount, ZERO)
            self._tell(self._event(row, owed, received))

    def _event(self, row: Moved, owed: Decimal, received: Decimal) -> DebtChanged:
        return DebtChanged(row.ts, self.venue, row.asset, owed, received, _INTEREST, f"{_INTEREST} {row.id}")

    # --- questions

    async def _funds(self, asset: str) -> Funds:
        """Return what the account has and owes of an asset. Raises VenueError."""
        return (await self._all_funds()).get(asset) or Funds(asset, ZERO, ZERO)

    async def _all_funds(self) -> dict[str, Funds]:
        answer = await self._way.wire.ask(self._dialect.funds())
        return {each.asset: each for each in self._dialect.read_funds(answer)}


def _judged(moved: Decimal, amount: Decimal, due: Decimal, most: Decimal) -> bool | None:
    """Say whether a loan was done, by how much the debt has moved; None where that tells both or neither.

    Interest that is `due` was added to the debt or paid from the wallet; `most` is by how much all of it may be off.
    """
    said = {
        is_done
        for is_done, base in ((True, amount), (False, ZERO))
        for more in (ZERO, due)
        if abs(moved - base - more) <= most
    }
    return said.pop() if len(said) == 1 else None


def _unlisted(minute: int) -> str:
    return f"unlisted {minute}"


def _failure(error: Exception) -> str:
    return f"the program failed ({type(error).__name__}: {error})"


__all__ = ["FAILED", "LOAN", "Account", "Lending"]
