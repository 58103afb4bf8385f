"""The double-entry ledger: every amount that moved, why, and where it came from.

Owns the wallet balances of every venue. Each posting is balanced per asset to the last unit and is booked once: a
reference that was posted before is ignored. Refuses to know positions, prices or profit: what a perpetual settles is
told to it. Rounding never favours us: what we pay grows to the next unit, what we receive shrinks to it.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from enum import StrEnum
from itertools import chain

import msgspec

from abidance.model.errors import InvariantError
from abidance.model.event import BalanceChanged, FundingPaid
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


class Account(msgspec.Struct, frozen=True, gc=False):
    """One column of the ledger."""

    venue: str
    asset: str
    kind: AccountKind


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


class Ledger:
    """All wallets of a run and the lines that explain them; `postings` is where those are kept by reference."""

    __slots__ = ("_accounts", "_balances", "_postings", "_wallets")

    def __init__(self, postings: MutableMapping[str, tuple[Entry, ...]] | None = None) -> None:
        self._postings: MutableMapping[str, tuple[Entry, ...]] = {} if postings is None else postings
        self._accounts: dict[tuple[str, str, AccountKind], Account] = {}
        self._balances: dict[Account, Decimal] = {}
        self._wallets: dict[str, dict[str, Decimal]] = {}

    def __contains__(self, ref: str) -> bool:
        """Say whether a reference has been posted."""
        return ref in self._postings

    def post_fill(self, fill: Fill, instrument: Instrument, profit: Decimal = ZERO) -> bool:
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
            self._post(fill.ts, ref, instrument.venue, moves)
        return True

    def post_funding(self, event: FundingPaid, venue: str) -> bool:
        """Book a funding payment; return False, changing nothing, when the same one was booked before."""
        _check_amount(event.amount, f"Funding of {event.instrument}")
        ref = funding_ref(event)
        if ref in self._postings:
            return False
        with localcontext(EXACT):
            self._post(event.ts, ref, venue, [(event.asset, received(event.amount), AccountKind.FUNDING)])
        return True

    def post_external(self, event: BalanceChanged) -> Decimal:
        """Book money that came or went from outside and return what was booked; each event counts, it has no id."""
        _check_amount(event.amount, f"A change of {event.asset} at {event.venue}")
        with localcontext(EXACT):
            amount = received(event.amount)
            ref = f"external {len(self._postings)} {event.reason}".rstrip()
            self._post(event.ts, ref, event.venue, [(event.asset, amount, AccountKind.EXTERNAL)])
        return amount

    def balance(self, venue: str, asset: str) -> Decimal:
        """Return what our wallet at a venue holds of an asset, open orders and margin not deducted."""
        wallet = self._wallets.get(venue)
        return wallet.get(asset, ZERO) if wallet else ZERO

    def balances(self, venue: str) -> Mapping[str, Decimal]:
        """Return our wallet at a venue by asset, empty for a venue that never held anything."""
        return dict(self._wallets.get(venue, {}))

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

    def _post(self, ts: int, ref: str, venue: str, moves: list[tuple[str, Decimal, AccountKind]]) -> None:
        """Book wallet movements, each against its counterparty; all amounts are rounded before any is booked."""
        lines: list[Entry] = []
        for asset, amount, kind in moves:
            if amount:
                wallet, other = (
                    self._account(venue, asset, AccountKind.WALLET),
                    self._account(venue, asset, kind),
                )
                lines += (Entry(ts, ref, wallet, amount, kind), Entry(ts, ref, other, -amount, kind))
        for line in lines:
            account = line.account
            balance = self._balances.get(account, ZERO) + line.amount
            self._balances[account] = balance
            if account.kind is AccountKind.WALLET:
                self._wallets.setdefault(venue, {})[account.asset] = balance
        self._postings[ref] = tuple(lines)

    def _account(self, venue: str, asset: str, kind: AccountKind) -> Account:
        key = (venue, asset, kind)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(venue, asset, kind)
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
