"""Loans between the engine, which approves them, and the accounts, which ask for them: each is handed over once."""

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from decimal import Decimal

from abidance.engine.engine import Engine
from abidance.model.errors import ConfigError
from abidance.model.event import AccountEvent, DebtChanged
from abidance.portfolio.ledger import debt_ref
from abidance.venues.account import AccountDialect, Funds
from abidance.venues.trading.gateway import VenueGateway
from abidance.venues.trading.lending import Lending
from abidance.venues.trading.line import Way


def lenders_of(dialects: Collection[AccountDialect]) -> dict[str, frozenset[str]]:
    """Return the assets that may be borrowed, by venue: those that the run itself trades there."""
    found: dict[str, frozenset[str]] = {}
    for dialect in dialects:
        if dialect.lender is not None:
            traded = dialect.instruments.values()
            assets = frozenset(asset for each in traded for asset in (each.base, each.quote))
            found[dialect.venue] = found.get(dialect.venue, frozenset()) | assets
    return found


def check_debts(dialect: AccountDialect, funds: Iterable[Funds]) -> None:
    """Raise ConfigError when an account owes anything as a run begins: nothing on record would say what for."""
    owed = [f"{each.debt.normalize():f} {each.asset}" for each in funds if each.debt]
    if owed:
        raise ConfigError(
            f"The account at {dialect.venue} owes {' and '.join(owed)}, which is on no record.",
            "Repay it at the venue, then start.",
        )


class _Account:
    """What our books of one venue say to its lender; `settle` lets them hear first what was told."""

    def __init__(self, venue: str, engine: Engine, settle: Callable[[], None]) -> None:
        self._venue = venue
        self._engine = engine
        self._settle = settle

    def owed(self, asset: str) -> Decimal:
        """Return our debt of an asset."""
        self._settle()
        return self._engine.state.debts.owed(self._venue, asset)

    def wallet(self, asset: str) -> Decimal:
        """Return what our ledger has of an asset."""
        self._settle()
        return self._engine.state.portfolio.balance(self._venue, asset)

    def held(self, asset: str) -> Decimal:
        """Return how much of an asset strategies hold."""
        self._settle()
        return self._engine.state.debts.held(self._venue, asset)

    def debts(self) -> Mapping[str, int]:
        """Return since when something is owed of each asset of which anything is."""
        self._settle()
        since = self._engine.state.portfolio.ledger.owed_since
        return {asset: ts for (venue, asset), ts in since.items() if venue == self._venue}

    def has(self, event: DebtChanged) -> bool:
        """Say whether a change of a debt was booked before."""
        self._settle()
        return debt_ref(event) in self._engine.state.portfolio.ledger


class LoanDesk:
    """The lenders of a run. `settle` lets the engine take what accounts have told, `tell` tells it more."""

    def __init__(
        self, engine: Callable[[], Engine], settle: Callable[[], None], tell: Callable[[AccountEvent], None]
    ) -> None:
        self._engine = engine
        self._settle = settle
        self._tell = tell
        self._lenders: dict[str, Lending] = {}
        self._handed: set[str] = set()

    def add(self, gateway: VenueGateway, way: Way, since: int, may_have_left: Callable[[str], bool]) -> None:
        """Let loans be asked for with a gateway's account, and take over those of an earlier process."""
        dialect, engine = gateway.dialect, self._engine()
        if dialect.lender is None:
            return
        account = _Account(dialect.venue, engine, self._settle)
        lending = Lending(
            dialect, dialect.lender, way, account, self._tell, gateway.doubt, lambda: "start" not in gateway.doubts
        )  # fmt: skip
        loans = engine.state.debts.loans.open(dialect.venue)
        self._handed.update(each.id for each in loans)
        lending.recover(loans, since, may_have_left)
        self._lenders[dialect.venue] = lending

    def hand_over(self) -> None:
        """Let the accounts ask for what the engine has approved and nobody has asked for."""
        for loan in self._engine().state.debts.loans.open():
            if loan.id not in self._handed:
                self._handed.add(loan.id)
                self._lenders[loan.venue].hand(loan)

    def works(self) -> list[Coroutine[object, object, None]]:
        """Return what goes on for as long as the run does."""
        return [each.run() for each in self._lenders.values()]

    def debts(self, venue: str) -> Mapping[str, Decimal]:
        """Return what our books say is owed at a venue."""
        return self._engine().state.portfolio.ledger.debts(venue)

    def moving(self, venue: str) -> Collection[str]:
        """Return the assets of which something is being borrowed or repaid at a venue."""
        return {each.asset for each in self._engine().state.debts.loans.open(venue)}

    def awaited(self, venue: str) -> Collection[str]:
        """Return those of them that are compared afterwards: without those of which nobody can tell any more."""
        return set(self.moving(venue)) - self._lenders[venue].unclear if venue in self._lenders else ()

    def in_question(self) -> list[str]:
        """Return the ids of the loans whose outcome is not known."""
        return [each.id for each in self._engine().state.debts.loans.open()]


__all__ = ["LoanDesk", "check_debts", "lenders_of"]
