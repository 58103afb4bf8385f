"""The double-entry ledger: every amount that moved, why, and where it came from.

Owns the wallet balances of every venue, and beside them the purse of the accounts' owner: what came and went by him and
not by the run, which may be less than nothing. Each posting is balanced per asset to the last unit and is booked once:
a reference that was posted before is ignored. Refuses to know positions, prices or profit: what a perpetual settles is
told to it. Rounding never favours us: what we pay grows to the next unit, what we receive shrinks to it.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from enum import StrEnum
from itertools import chain

import msgspec

from abidance.model.errors import InvariantError
from abidance.model.event import BalanceChanged, DebtChanged, FundingPaid
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO, paid, received
from abidance.model.order import Fill, Side

EXACT = Context(prec=60, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Arithmetic of money: products of two full-length amounts stay exact, whatever the thread's context says."""


class AccountKind(StrEnum):
    """What a ledger account stands for: our wallet, or who stands on the other side."""

    WALLET = "wallet"
    TRADING = "trading"
    FEES = "fees"
    FUNDING = "funding"
    SETTLEMENT = "settlement"
    EXTERNAL = "external"
    LOAN = "loan"
    INTEREST = "interest"


_Move = tuple[str, Decimal, AccountKind]


class Account(msgspec.Struct, frozen=True, gc=False):
    """One column of the ledger: of the run, or of the owner of its accounts."""

    venue: str
    asset: str
    kind: AccountKind
    is_owners: bool = False


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line: `amount` came to `account` (negative: left it) because of `ref`.

    `kind` names the counterparty, so that a wallet line says by itself whether it was a trade, a fee, funding, a
    settled profit or money from outside.
    """

    ts: int
    ref: str
    account: Account
    amount: Decimal
    kind: AccountKind

    @property
    def asset(self) -> str:
        """Return what the amount is counted in."""
        return self.account.asset


def fill_ref(fill: Fill) -> str:
    """Return the reference of a fill's ledger lines; a venue's trade ids are unique per instrument only."""
    return f"{fill.instrument}#{fill.id}"


def funding_ref(event: FundingPaid) -> str:
    """Return the reference of a funding payment; the same payment reported twice has the same one."""
    return f"funding {event.instrument} {event.strategy} {event.ts} {event.amount.normalize(EXACT)} {event.asset}"


def debt_ref(event: DebtChanged) -> str:
    """Return the reference of a changed debt; the same change told twice has the same one."""
    return f"debt {event.venue} {event.asset} {event.ref}"


def external_ref(event: BalanceChanged) -> str:
    """Return the reference of money from outside to which the venue has given an id; empty without one."""
    return f"external {event.venue} {event.asset} {event.id} {event.reason}".rstrip() if event.id else ""


class Ledger:
    """All wallets of a run and the lines that explain them; `postings` is where those are kept by reference."""

    __slots__ = ("_accounts", "_balances", "_postings", "_purses", "_wallets", "owed", "owed_since")

    def __init__(self, postings: MutableMapping[str, tuple[Entry, ...]] | None = None) -> None:
        self._postings: MutableMapping[str, tuple[Entry, ...]] = {} if postings is None else postings
        self._accounts: dict[tuple[str, str, AccountKind, bool], Account] = {}
        self._balances: dict[Account, Decimal] = {}
        self._wallets: dict[str, dict[str, Decimal]] = {}
        self._purses: dict[str, dict[str, Decimal]] = {}
        self.owed: dict[tuple[str, str], Decimal] = {}
        """What is owed by venue and asset, interest included; nothing of what was paid back."""
        self.owed_since: dict[tuple[str, str], int] = {}
        """Since when that is so, in ns UTC."""

    def __contains__(self, ref: str) -> bool:
        """Say whether a reference has been posted."""
        return ref in self._postings

    def post_fill(
        self, fill: Fill, instrument: Instrument, profit: Decimal = ZERO, *, is_owners: bool = False
    ) -> bool:
        """Book one execution; return False, changing nothing, when it was booked before.

        Spot moves base and quote; a perpetual moves no base and settles `profit` (signed, quote units), which is what
        the fill closed. A negative fee is a rebate. Raises InvariantError for amounts that cannot be.
        """
        ref = fill_ref(fill)
        if ref in self._postings:
            return False
        check_fill(fill, instrument)
        with localcontext(EXACT):
            moves: list[tuple[str, Decimal, AccountKind]]
            if instrument.is_perpetual:
                moves = [(instrument.quote, received(profit), AccountKind.SETTLEMENT)]
            elif fill.side is Side.BUY:
                moves = [
                    (instrument.base, received(fill.quantity), AccountKind.TRADING),
                    (instrument.quote, -paid(fill.quantity * fill.price), AccountKind.TRADING),
                ]
            else:
                moves = [
                    (instrument.base, -paid(fill.quantity), AccountKind.TRADING),
                    (instrument.quote, received(fill.quantity * fill.price), AccountKind.TRADING),
                ]
            moves.append((fill.fee_asset, -paid(fill.fee), AccountKind.FEES))
            self._post(fill.ts, ref, instrument.venue, *(((), moves) if is_owners else (moves, ())))
        return True

    def post_funding(self, event: FundingPaid, venue: str, owners: Decimal = ZERO) -> bool:
        """Book a funding payment, `owners` of it to him; return False, changing nothing, when it was booked before."""
        _check_amount(event.amount, f"Funding of {event.instrument}")
        ref = funding_ref(event)
        if ref in self._postings:
            return False
        with localcontext(EXACT):
            ours, theirs = (
                [(event.asset, received(amount), AccountKind.FUNDING)]
                for amount in (event.amount - owners, owners)
            )
            self._post(event.ts, ref, venue, ours, theirs)
        return True

    def post_external(self, event: BalanceChanged) -> Decimal:
        """Book money that came or went from outside and return what was booked; without an id each event counts."""
        _check_amount(event.amount, f"A change of {event.asset} at {event.venue}")
        with localcontext(EXACT):
            amount = received(event.amount)
            ref = external_ref(event) or f"external {len(self._postings)} {event.reason}".rstrip()
            if ref in self._postings:
                return ZERO
            moves = [(event.asset, amount, AccountKind.EXTERNAL)]
            self._post(event.ts, ref, event.venue, *(((), moves) if event.is_owners else (moves, ())))
        return amount

    def post_debt(self, event: DebtChanged) -> Decimal | None:
        """Book that what we owe changed and return what it cost us: what is owed beyond what was received.

        None, and nothing changed, when the same was booked before.
        """
        for amount in (event.owed, event.received):
            _check_amount(amount, f"A debt of {event.asset} at {event.venue}")
        ref = debt_ref(event)
        if ref in self._postings:
            return None
        with localcontext(EXACT):
            came = received(event.received)
            cost = paid(event.owed) - came
            wallet, loan, interest = (
                self._account(event.venue, event.asset, kind)
                for kind in (AccountKind.WALLET, AccountKind.LOAN, AccountKind.INTEREST)
            )
            lines = []
            for account, amount, kind in ((wallet, came, loan.kind), (interest, cost, interest.kind)):
                if amount:
                    lines.append(Entry(event.ts, ref, account, amount, kind))
                    lines.append(Entry(event.ts, ref, loan, -amount, kind))
            self._book(ref, lines)
            key = event.venue, event.asset
            self.owed[key] = self.owed.get(key, ZERO) + came + cost
            self.owed_since.setdefault(key, event.ts)
            if not self.owed[key]:
                del self.owed[key], self.owed_since[key]
        return cost

    def debts(self, venue: str) -> Mapping[str, Decimal]:
        """Return what is owed at a venue by asset, as `owed` has it."""
        return {asset: amount for (at, asset), amount in self.owed.items() if at == venue}

    def balance(self, venue: str, asset: str) -> Decimal:
        """Return what our wallet at a venue holds of an asset, open orders and margin not deducted."""
        wallet = self._wallets.get(venue)
        return wallet.get(asset, ZERO) if wallet else ZERO

    def balances(self, venue: str) -> Mapping[str, Decimal]:
        """Return our wallet at a venue by asset, empty for a venue that never held anything."""
        return dict(self._wallets.get(venue, {}))

    def purse(self, venue: str) -> Mapping[str, Decimal]:
        """Return by asset what the owner moved himself at a venue since the run began; negative is what he took out."""
        return dict(self._purses.get(venue, {}))

    def venues(self) -> tuple[str, ...]:
        """Return the venues with a wallet, in the order in which they came."""
        return tuple(self._wallets)

    def accounts(self) -> Mapping[Account, Decimal]:
        """Return the balance of every account, counterparties included."""
        return dict(self._balances)

    def entries(self) -> Iterator[Entry]:
        """Yield every line in the order of posting."""
        return chain.from_iterable(self._postings.values())

    def explain(self, ref: str) -> tuple[Entry, ...]:
        """Return the lines of one reference (see `fill_ref`, `funding_ref`), empty when it moved nothing."""
        return self._postings.get(ref, ())

    def totals(self) -> Mapping[str, Decimal]:
        """Return the sum over all accounts per asset: zero for each, or the ledger is broken."""
        sums: dict[str, Decimal] = {}
        for account, amount in self._balances.items():
            sums[account.asset] = EXACT.add(sums.get(account.asset, ZERO), amount)
        return sums

    def _post(
        self, ts: int, ref: str, venue: str, moves: Sequence[_Move], theirs: Sequence[_Move] = ()
    ) -> None:
        """Book movements of a wallet and (`theirs`) of the owner's purse, each against its counterparty.

        All amounts are rounded before any is booked.
        """
        lines: list[Entry] = []
        for is_owners, part in ((False, moves), (True, theirs)):
            for asset, amount, kind in part:
                if amount:
                    wallet, other = (
                        self._account(venue, asset, AccountKind.WALLET, is_owners=is_owners),
                        self._account(venue, asset, kind, is_owners=is_owners),
                    )
                    lines += (Entry(ts, ref, wallet, amount, kind), Entry(ts, ref, other, -amount, kind))
        self._book(ref, lines)

    def _book(self, ref: str, lines: list[Entry]) -> None:
        for line in lines:
            account = line.account
            balance = self._balances.get(account, ZERO) + line.amount
            self._balances[account] = balance
            if account.kind is AccountKind.WALLET:
                held = self._purses if account.is_owners else self._wallets
                held.setdefault(account.venue, {})[account.asset] = balance
        self._postings[ref] = tuple(lines)

    def _account(self, venue: str, asset: str, kind: AccountKind, *, is_owners: bool = False) -> Account:
        key = (venue, asset, kind, is_owners)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(venue, asset, kind, is_owners)
        return account


def check_fill(fill: Fill, instrument: Instrument) -> None:
    """Refuse a fill that cannot be money or is not of this instrument. Raises InvariantError."""
    numbers = (fill.quantity, fill.price, fill.fee)
    if not all(map(_is_money, numbers)) or fill.quantity <= 0 or fill.price < 0:
        raise InvariantError(
            f"Fill {fill_ref(fill)} has quantity {fill.quantity}, price {fill.price}, fee {fill.fee}.",
            "Report what the venue sent.",
        )
    if fill.instrument != instrument.id:
        raise InvariantError(f"Fill {fill_ref(fill)} was posted as one of {instrument.id}.", "Report it.")


def _is_money(amount: Decimal) -> bool:
    """Say whether an amount is a number below 1e24, so that a product and its units fit into EXACT."""
    return amount.is_finite() and amount.adjusted() < 24


def _check_amount(amount: Decimal, what: str) -> None:
    if not _is_money(amount):
        raise InvariantError(f"{what} has the amount {amount}.", "Report what the venue sent.")
