"""Bybit's loans to unified accounts on the local exchange: manual borrowing, repayment without conversion, interest."""

from collections.abc import Callable, Mapping
from typing import Any

from abidance.model.instrument import MS_NS
from abidance.testing.exchange.accounts import ZERO, Account, Charge
from abidance.testing.exchange.counter import figure, plain
from abidance.testing.exchange.house import Place, Refusal, millis, word
from abidance.testing.exchange.lending import RATE, DeclinedLoan, Loans, No

_WORDS: Mapping[No, tuple[int, str]] = {
    No.SHELF: (176022, "The coin to borrow is not available yet."),
    No.SHORT: (176029, "The amount to borrow has exceeded the user's estimated max. amount to borrow."),
    No.FUNDS: (176015, "Insufficient available balance."),
    No.NOTHING: (176016, "No repayment required."),
    No.MORE: (176017, "Repayment amount has exceeded the total liability."),
    No.RECKONING: (176018, "Settlement in progress."),
}


class BybitLoans:
    """Loans of the accounts of one exchange; `ok` and `no` make Bybit's answers."""

    def __init__(
        self, place: Place, ok: Callable[[object], object], no: Callable[[int, str], Refusal]
    ) -> None:
        self._place = place
        self._ok = ok
        self._no = no
        self.loans = Loans(place.desk)

    @property
    def handlers(self) -> Mapping[str, Callable[[Account, Mapping[str, Any]], object]]:
        """Return what answers `METHOD /path` of an account whose request was signed."""
        return {
            "POST /v5/account/borrow": self._borrow,
            "POST /v5/account/no-convert-repay": self._repay,
            "GET /v5/account/borrow-history": self._history,
            "GET /v5/account/collateral-info": self._collateral,
            "GET /v5/spot-margin-trade/state": self._state,
        }

    def _borrow(self, account: Account, asked: Mapping[str, Any]) -> object:
        asset, amount = word(asked, "coin"), figure(asked.get("amount"))
        if not account.permissions.trade:
            raise self._no(10005, "Permission denied, please check your API key permissions.")
        if not asset or amount is None or amount <= 0:
            raise self._no(10001, "params error: amount invalid")
        if -amount.as_tuple().exponent > 8:  # type: ignore[operator]
            raise self._no(176031, "Number of decimals has exceeded the maximum precision.")
        try:
            self.loans.borrow(account, asset, amount, self._place.now)
        except DeclinedLoan as declined:
            raise self._no(*_WORDS[declined.why]) from None
        return self._ok({"coin": asset, "amount": plain(amount)})

    def _repay(self, account: Account, asked: Mapping[str, Any]) -> object:
        asset, amount = word(asked, "coin"), figure(asked.get("amount"))
        if not asset or (amount is None) is bool(asked.get("amount")):
            raise self._no(10001, "params error: coin or amount invalid")
        try:
            self.loans.repay(account, asset, amount, self._place.now)
        except DeclinedLoan as declined:
            raise self._no(*_WORDS[declined.why]) from None
        return self._ok({"resultStatus": "SU"})

    def _history(self, account: Account, asked: Mapping[str, Any]) -> object:
        self.loans.charge(account, self._place.now)
        since, until = (int(asked.get(name) or "0") * MS_NS for name in ("startTime", "endTime"))
        found = [
            _told(each)
            for each in reversed(account.charges)
            if since <= each.ts
            and (not until or each.ts <= until)
            and asked.get("currency") in (None, "", each.asset)
        ]
        limit, start = min(int(asked.get("limit") or 20), 50), int(asked.get("cursor") or 0)
        more = str(start + limit) if len(found) > start + limit else ""
        return self._ok({"list": found[start : start + limit], "nextPageCursor": more})

    def _collateral(self, account: Account, asked: Mapping[str, Any]) -> object:
        self.loans.charge(account, self._place.now)
        wanted = asked.get("currency")
        rows = [
            {
                "currency": asset,
                "hourlyBorrowRate": plain(RATE),
                "maxBorrowingAmount": plain(most),
                "availableToBorrow": plain(max(most - account.debts.get(asset, ZERO), ZERO)),
                "borrowAmount": plain(account.debts.get(asset, ZERO)),
                "freeBorrowingLimit": "0",
                "borrowable": True,
                "marginCollateral": True,
                "collateralSwitch": True,
                "collateralRatio": "0.95",
            }
            for asset, most in self.loans.shelf.items()
            if wanted in (None, "", asset)
        ]
        return self._ok({"list": rows})

    def _state(self, account: Account, asked: Mapping[str, Any]) -> object:
        del account, asked
        return self._ok({"spotLeverage": "2", "spotMarginMode": "1", "effectiveLeverage": "0"})


def _told(charge: Charge) -> dict[str, object]:
    return {
        "currency": charge.asset,
        "createdTime": millis(charge.ts),
        "borrowCost": format(charge.cost, "f"),
        "hourlyBorrowRate": plain(charge.rate),
        "InterestBearingBorrowSize": plain(charge.bearing),
        "costExemption": "0",
        "borrowAmount": plain(charge.bearing),
        "unrealisedLoss": "0",
        "freeBorrowedAmount": "0",
    }


__all__ = ["BybitLoans"]
