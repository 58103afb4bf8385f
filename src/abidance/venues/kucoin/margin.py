"""Trade on KuCoin spot from the cross margin account of the high-frequency interface, to which KuCoin lends.

Instruments, orders, fills and answers are those of spot; where they are asked for is not, and an order is only asked
off: what comes of that is found out.

{"debtRatio": "0", "status": "EFFECTIVE", "accounts": [{"currency": "USDT", "total": "38.68855864", "available":
"20.01916691", "hold": "18.66939173", "liability": "0", "liabilityInterest": "0"}]}, among more.

kucoin.com/docs-new/rest/margin-trading/orders/add-order, kucoin.com/docs-new/3470075w0
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from abidance.model.command import Submit
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order
from abidance.venues.account import (
    Call,
    Funds,
    Hint,
    Lender,
    News,
    plain_number,
    sound,
    understood,
)
from abidance.venues.dialect import Alive
from abidance.venues.frames import reader
from abidance.venues.kucoin.account import Done, KuCoinAccount, Told, data_of, private
from abidance.venues.kucoin.lender import VENUE, KuCoinLender
from abidance.venues.kucoin.private import Balance, KuCoinStream
from abidance.venues.net.transport import Answer

STRAINED = Decimal("0.8")
"""At which debt ratio nothing new is risked: that of an account which owes all that is lent at first. KuCoin warns at
0.95 and liquidates at 0.97: kucoin.zendesk.com/hc/en-us/articles/900002181946"""
_TAKEN = frozenset({"LIQUIDATION", "BANKRUPTCY"})
_CROSS = {"tradeType": "MARGIN_TRADE"}
_NO_LOAN = {"isIsolated": False, "autoBorrow": False, "autoRepay": False}
_MOVES = frozenset({"marginV2.transfer", "marginV2.other"})


class _Asset(msgspec.Struct, rename="camel"):
    currency: str
    total: Decimal
    available: Decimal
    liability: Decimal
    liability_interest: Decimal = ZERO


class _Account(msgspec.Struct, rename="camel"):
    debt_ratio: Decimal
    status: str
    accounts: list[_Asset]


_read_account = reader(Told[_Account])


class KuCoinMarginAccount(KuCoinAccount):
    """The cross margin account, trading spot. No order borrows or repays by itself."""

    purse = "cross margin"
    capability = msgspec.structs.replace(
        KuCoinAccount.capability,
        dead_man="",
        notes=(
            *KuCoinAccount.capability.notes,
            f"At a debt ratio of {STRAINED} or more only exits are sent.",
            "KuCoin's stream does not tell of which account an order is: those by hand in spot are seen, too.",
        ),
    )
    lender: Lender | None = KuCoinLender()

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self.stream = KuCoinMarginStream(self._ids)
        self.countdown = None  # what is said of it is of spot
        self.strain = strain_of

    def signed(
        self, method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False
    ) -> Call:
        """Return a signed call, which is below `hf/margin/` here."""
        return super().signed(method, f"margin/{path}", params, is_urgent=is_urgent)

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order with what is in the account, and never with a loan of its own."""
        call = super().submit(command)
        return call._replace(path="hf/margin/order", params={**call.params, **_NO_LOAN})

    def cancel(self, order: Order, venue_id: str) -> Call:  # noqa: ARG002 (our own id is enough)
        """Return the call that asks an order off."""
        return self.signed("DELETE", "orders/client-order/{clientOid}", self._named(order), is_urgent=True)

    def cancel_all(self, instrument: str) -> Call:
        """Return the call that asks every order in an instrument off."""
        return _crossed(super().cancel_all(instrument))

    def _says_enough(self, done: Done) -> bool:
        return bool(done.client_oid)

    # --- questions

    def open_orders(self) -> Sequence[Call]:
        """Return one call per instrument."""
        return tuple(_crossed(call) for call in super().open_orders())

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for the executions of seven days from a moment on, the newest first."""
        return _crossed(super().executions(instrument, since))

    def funds(self) -> Call:
        """Return the call for all balances and debts of the high-frequency account."""
        return private("GET", "margin/accounts", {"queryType": "MARGIN_V2"})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances and debts that are not zero. Raises VenueError."""
        found = data_of(answer, _read_account).accounts
        with understood(self.venue, answer):
            for each in found:
                sound(each.total, each.available, each.liability, each.liability_interest)
            told = [
                Funds(each.currency, each.total, each.available, each.liability, each.liability_interest)
                for each in found
            ]
        return [each for each in told if each.total or each.debt]


def strain_of(answer: Answer) -> str:
    """Return why nothing new may be risked, if much is owed or taken already. Raises VenueError."""
    account = data_of(answer, _read_account)
    with understood(VENUE, answer):
        sound(account.debt_ratio)
    if account.status in _TAKEN:
        return f"KuCoin liquidates the margin account: its status is {account.status}."
    if account.debt_ratio >= STRAINED:
        at = f"the debt ratio is {plain_number(account.debt_ratio)}"
        return f"{at}: KuCoin warns at 0.95 and liquidates at 0.97. Repay, or pay in."
    return ""


class KuCoinMarginStream(KuCoinStream):
    """Orders of all of the owner's accounts, and that money of the margin account moved."""

    def _money(self, told: Balance) -> Sequence[News]:
        """Return only that money moved: what is owed is not told, nor what is a loan's."""
        told.check()
        return (Hint("exposure"),) if told.relation_event in _MOVES else (Alive(),)


def _crossed(call: Call) -> Call:
    return call._replace(params={**call.params, **_CROSS})


__all__ = ["STRAINED", "KuCoinMarginAccount", "KuCoinMarginStream", "strain_of"]
