"""A lender's client with books of its own, at a local exchange under a time that the test moves."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from abidance.kernel.log import logger
from abidance.model.event import AccountEvent, BalanceChanged, DebtChanged, LoanTold
from abidance.model.instrument import SECOND_NS
from abidance.model.loan import Loan, LoanState
from abidance.portfolio.ledger import Ledger, debt_ref
from abidance.venues.account import Funds
from abidance.venues.net.transport import NotSentError
from abidance.venues.trading.books import Books
from abidance.venues.trading.lending import Lending
from abidance.venues.trading.line import Way
from tests.unit.venues.trading_world import D, World

ASK, BACK, FUNDS = "/v5/account/borrow", "/v5/account/no-convert-repay", "/v5/account/wallet-balance"


class Place(NamedTuple):
    """Who lends to which wallet, and the paths at which he is asked for a loan, for its end and for what is owed."""

    venue: str
    wallet: str
    ask: str
    back: str
    funds: str


BYBIT = Place("BYBIT", "", ASK, BACK, FUNDS)
MARGIN = Place(
    "BINANCE",
    "cross_margin",
    "/sapi/v1/margin/borrow-repay",
    "/sapi/v1/margin/borrow-repay",
    "/sapi/v1/margin/account",
)
KUCOIN = Place(
    "KUCOIN", "cross_margin", "/api/v3/margin/borrow", "/api/v3/margin/repay", "/api/v3/margin/accounts"
)


class Disk:
    """A record that is safe once its disk answers; `is_dead` when it never will."""

    seq = 7
    has_failed = False

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_dead = False
        self.waited: list[int] = []

    async def done(self, seq: int) -> None:
        self.waited.append(seq)
        if self.is_dead:
            raise NotSentError("the journal cannot be written", "Look at the disk.")
        await self.answers.wait()


class Borrower:
    """What an engine, its books and a person would be to the loans of one account."""

    def __init__(self, place: Place = BYBIT) -> None:
        self.venue = place.venue
        self.world = World(venue=place.venue, wallet=place.wallet)
        self.ledger = Ledger()
        self.events: list[AccountEvent] = []
        self.doubts: dict[str, str] = {}
        self.departed: list[str] = []
        self.disk = Disk()
        self.bars = ""
        self.loans: dict[str, Loan] = {}
        self.coins = D(0)
        self.lending = self.made()
        self._task: asyncio.Task[None] | None = None

    def made(self) -> Lending:
        dialect = self.world.gateway.dialect
        assert dialect.lender is not None
        world = self.world
        way = Way(
            world.wire, world, world.pulse, lambda: 0.5, logger("loans"), record=self.disk, departs=self.departs
        )  # fmt: skip
        return Lending(dialect, dialect.lender, way, self, self.hear, self.doubt, lambda: True)

    async def start(self) -> "Borrower":
        await self.world.wire.open()
        self._task = asyncio.ensure_future(self.lending.run())
        await self.world.advance(1)
        return self

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        for task in self.lending._way.tasks:  # the process dies where it is
            task.cancel()
        await asyncio.gather(self._task, *self.lending._way.tasks, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        self.lending = self.made()
        self.lending.recover(
            self.open(), self.world.pulse.wall() - 86_400 * SECOND_NS, self.departed.__contains__
        )
        await self.start()

    # --- what an engine and its books would say

    def hear(self, event: AccountEvent) -> None:
        self.events.append(event)
        if isinstance(event, DebtChanged):
            self.ledger.post_debt(event)
        elif isinstance(event, BalanceChanged):
            self.ledger.post_external(event)

    def departs(self, id: str) -> None:
        """Note that a loan leaves, unless something `bars` it."""
        if self.bars:
            raise NotSentError(self.bars, "Wait.")
        self.departed.append(id)

    def doubt(self, cause: str, reason: str) -> None:
        self.doubts = {each: text for each, text in self.doubts.items() if each != cause}
        self.doubts |= {cause: reason} if reason else {}

    def owed(self, asset: str) -> Decimal:
        return self.ledger.owed.get((self.venue, asset), D(0))

    def wallet(self, asset: str) -> Decimal:
        return self.ledger.balance(self.venue, asset)

    def held(self, asset: str) -> Decimal:
        return self.coins

    def debts(self) -> Mapping[str, int]:
        return {asset: ts for (_, asset), ts in self.ledger.owed_since.items()}

    def has(self, event: DebtChanged) -> bool:
        return debt_ref(event) in self.ledger

    # --- what a person asks, and what came of it

    def ask(self, amount: str, asset: str = "USDT", *, is_whole: bool = False) -> str:
        id = f"{len(self.loans):032x}"
        self.loans[id] = Loan(id, self.venue, asset, D(amount), self.world.pulse.wall(), is_whole=is_whole)
        self.lending.hand(self.loans[id])
        return id

    def states(self, id: str) -> list[LoanState]:
        told = [
            each for each in self.events if isinstance(each, LoanTold | DebtChanged) and each.loan_id == id
        ]
        return [each.state if isinstance(each, LoanTold) else LoanState.DONE for each in told]

    def state(self, id: str) -> LoanState:
        return (self.states(id) or [LoanState.SENT])[-1]

    def open(self) -> list[Loan]:
        """Return the loans that have not ended."""
        return [each for each in self.loans.values() if not self.state(each.id).is_closed]

    def gaps(self) -> list[str]:
        dialect = self.world.gateway.dialect
        account = self.world.account
        there = {
            asset: Funds(asset, purse.total, purse.free, account.debts.get(asset, D(0)))
            for asset, purse in account.purses.items()
        }
        moving = {each.asset for each in self.open()} - self.lending.unclear
        books = Books(
            lambda: self.ledger.balances(self.venue), dict, debts=lambda: self.ledger.debts(self.venue), moving=lambda: moving
        )  # fmt: skip
        return [str(each) for each in books.gaps(dialect, there, ())]

    def lent(self, why: str = "loan") -> list[Decimal]:
        return [line.amount for line in self.world.account.ledger if line.why == why]

    def agrees(self) -> None:
        """Compare debts with the exchange's own, which share no code."""
        there = self.world.account.debts
        assert self.ledger.debts(self.venue).keys() == there.keys()
        for asset, owed in there.items():
            assert abs(self.owed(asset) - owed) <= D("1e-8")
        assert all(total == 0 for total in self.ledger.totals().values())
