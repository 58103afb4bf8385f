"""Loans of the local exchange: what accounts owe, and the interest that each hour adds to it.

The exchange lends what it has on its shelf. Interest is charged at five minutes past each hour on what is owed then, at
one rate; while it reckons nobody repays. Or an hour's comes with the loan, and another one as each hour begins, on what
was lent alone. What is lent goes to the purse from which orders are paid.
"""

from decimal import Decimal
from enum import StrEnum

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange.accounts import ZERO, Account, Charge
from abidance.testing.exchange.desk import Desk

HOUR = 3_600 * SECOND_NS
CHARGED_AT = 300 * SECOND_NS
"""When in each hour interest is charged, in ns after it began."""
RECKONING = (240 * SECOND_NS, 330 * SECOND_NS)
RATE = Decimal("0.00001")
"""The interest of an hour as a share of what is owed."""
STEP, SHOWN = Decimal("0.000000000000000001"), Decimal("0.00000001")
"""The smallest amounts in which debts are kept, and told."""


class No(StrEnum):
    """Why a loan or a repayment is declined."""

    SHELF = "shelf"
    """It lends no such asset."""
    SHORT = "short"
    """It has not so much of it, or the account may not owe so much."""
    FUNDS = "funds"
    NOTHING = "nothing"
    """Nothing is owed."""
    MORE = "more"
    """Less is owed."""
    RECKONING = "reckoning"


class DeclinedLoan(Exception):  # noqa: N818 (an answer, not a mistake)
    """The exchange's way to say no."""

    def __init__(self, why: No) -> None:
        super().__init__(why.value)
        self.why = why


class Loans:
    """The loans of all accounts at one desk; `shelf` is how much of each asset one account may owe.

    They cost something `at_once`, or from the next hour on; what comes with a loan bears the time of its hour, or
    (`is_timed`) its own.
    """

    def __init__(self, desk: Desk, *, at_once: bool = False, is_timed: bool = False) -> None:
        self.lists_first = True
        """Whether the list of interest has that which came with a loan."""
        self._is_timed = is_timed
        self._at_once, self._charged_at = at_once, 0 if at_once else CHARGED_AT
        self.shelf = {"USDT": Decimal(100_000), "BTC": Decimal(10), "ETH": Decimal(100)}
        self._desk = desk

    def borrow(self, account: Account, asset: str, amount: Decimal, ts: int) -> None:
        """Lend an amount. Raises DeclinedLoan; then nothing has changed."""
        self.charge(account, ts)
        if asset not in self.shelf:
            raise DeclinedLoan(No.SHELF)
        if account.debts.get(asset, ZERO) + amount > self.shelf[asset]:
            raise DeclinedLoan(No.SHORT)
        account.debts[asset] = account.debts.get(asset, ZERO) + amount
        self._desk.transfer(account, asset, amount, ts, "loan")
        if self._at_once:
            at = ts if self._is_timed else ts // HOUR * HOUR
            self._add(account, Charge(at, asset, (amount * RATE).quantize(SHOWN), amount, RATE, True))

    def repay(self, account: Account, asset: str, amount: Decimal | None, ts: int) -> Decimal:
        """Take an amount back, or (None) as much as there is of it, and return how much. Raises DeclinedLoan."""
        self.charge(account, ts)
        owed, free = account.debts.get(asset, ZERO), account.purse(asset).free
        if not self._at_once and RECKONING[0] <= ts % HOUR < RECKONING[1]:
            raise DeclinedLoan(No.RECKONING)
        if not owed:
            raise DeclinedLoan(No.NOTHING)
        wanted = min(owed, free) if amount is None else amount
        if wanted > owed:
            raise DeclinedLoan(No.MORE)
        if wanted > free or not wanted:
            raise DeclinedLoan(No.FUNDS)
        account.debts[asset] = owed - wanted
        account.accrued[asset] = max(account.accrued.get(asset, ZERO) - wanted, ZERO)
        if not account.debts[asset]:
            del account.debts[asset]
        self._desk.transfer(account, asset, -wanted, ts, "repayment")
        return wanted

    def charge(self, account: Account, ts: int) -> None:
        """Charge the interest of the hours that went by."""
        due = ((account.charged_until or ts) - self._charged_at) // HOUR + 1
        account.charged_until = ts
        for hour in range(due, (ts - self._charged_at) // HOUR + 1):
            for asset, owed in account.debts.items():
                bearing = owed - account.accrued.get(asset, ZERO) if self._at_once else owed
                cost = (bearing * RATE).quantize(SHOWN if self._at_once else STEP)
                self._add(account, Charge(hour * HOUR + self._charged_at, asset, cost, bearing, RATE))

    def _add(self, account: Account, charge: Charge) -> None:
        """Add interest to what is owed; it is told with fewer digits."""
        account.debts[charge.asset] += charge.cost
        if self._at_once:
            account.accrued[charge.asset] = account.accrued.get(charge.asset, ZERO) + charge.cost
        account.charges.append(charge._replace(cost=charge.cost.quantize(SHOWN)))


__all__ = ["CHARGED_AT", "HOUR", "RATE", "DeclinedLoan", "Loans", "No"]
