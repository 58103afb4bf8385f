"""Trade on Binance spot from the wallet of the cross margin account, to which Binance lends.

Instruments, orders and answers are those of spot; where they are asked for is not, and the answer to a cancel has no
time. {"marginLevel": "11.64405625", "userAssets": [{"asset": "BNB", "borrowed": "201.66666672", "free": "2346.5",
"interest": "0.00000000", "locked": "0.00000000", "netAsset": "2144.83333328"}]}, among more.
developers.binance.com/docs/margin_trading
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from abidance.model.command import Submit
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.money import ZERO
from abidance.venues.account import (
    Call,
    Credentials,
    Funds,
    Hint,
    Lender,
    News,
    plain_number,
    read,
    refused,
    sound,
    understood,
)
from abidance.venues.binance.account import BinanceSpotAccount
from abidance.venues.binance.lender import VENUE, BinanceLender
from abidance.venues.binance.private import BinanceSpotStream
from abidance.venues.dialect import Alive, Endpoint, Frame
from abidance.venues.frames import UNREADABLE, reader, said
from abidance.venues.net.transport import Answer

STRAINED = Decimal("1.5")
"""At which margin level nothing new is risked: `normalBar` of Binance's GET /sapi/v1/margin/tradeCoeff. It calls for
margin at 1.3 (1.16 where 5 times are lent) and liquidates at 1.1: binance.com/en/support/faq/360030493931."""


class _Asset(msgspec.Struct):
    asset: str
    free: Decimal
    locked: Decimal
    borrowed: Decimal
    interest: Decimal


class _Account(msgspec.Struct):
    marginLevel: Decimal  # noqa: N815 (the venue's own names, here and below)
    userAssets: list[_Asset]  # noqa: N815


class _Token(msgspec.Struct):
    token: str


_read_account = reader(_Account)
_read_token = reader(_Token)


class BinanceMarginAccount(BinanceSpotAccount):
    """The cross margin account, trading spot. No order borrows or repays by itself."""

    purse = "cross margin"
    capability = msgspec.structs.replace(
        BinanceSpotAccount.capability,
        notes=(
            *BinanceSpotAccount.capability.notes,
            f"At a margin level of {STRAINED} or less only exits are sent. Interest that is paid in BNB is not booked.",
        ),
    )
    sections = (("sapi",), ("public",))
    listed_for = 86_400 * SECOND_NS
    lender: Lender | None = BinanceLender()

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        self.stream = BinanceMarginStream(self._ids)
        self.tariff = None  # what is asked for spot is not said to hold here
        self.strain = strain_of

    def signed(
        self, method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False
    ) -> Call:
        """Return a signed call, which is below `margin/` here."""
        return super().signed(method, f"margin/{path}", params, is_urgent=is_urgent)

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order with what is in the wallet, and never with a loan of its own."""
        call = super().submit(command)
        return call._replace(params={**call.params, "sideEffectType": "NO_SIDE_EFFECT"})

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for the executions of a day from a moment on: with both ends, less than 24 hours apart."""
        call = super().executions(instrument, since)
        return call._replace(params={**call.params, "endTime": (since + self.listed_for) // MS_NS - 1})

    def funds(self) -> Call:
        """Return the call for all balances and debts."""
        return self.signed("GET", "account", {})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances and debts that are not zero; interest is owed besides the loan. Raises VenueError."""
        found = read(self.venue, answer, _read_account).userAssets
        with understood(self.venue, answer):
            for each in found:
                sound(each.free, each.locked, each.borrowed, each.interest)
            told = [
                Funds(each.asset, each.free + each.locked, each.free, each.borrowed + each.interest)
                for each in found
            ]
        return [each for each in told if each.total or each.debt]


def strain_of(answer: Answer) -> str:
    """Return why nothing new may be risked, if the margin level is low. Raises VenueError."""
    level = read(VENUE, answer, _read_account).marginLevel
    with understood(VENUE, answer):
        sound(level)
    if ZERO < level <= STRAINED:
        at = f"the margin level is {plain_number(level)}"
        return f"{at}: Binance calls for margin at 1.3 and liquidates at 1.1. Repay, or pay in."
    return ""


class BinanceMarginStream(BinanceSpotStream):
    """The events of the cross margin account, by a token that is good for a day; then another one is asked for."""

    def __init__(self, ids: Mapping[str, str]) -> None:
        super().__init__(ids)
        self._token = ""

    def token(self) -> Call:
        """Return the call for the token, which names its key and is not signed."""
        return Call(("sapi",), "POST", "userListenToken", is_urgent=True)

    def endpoint(self, answer: Answer | None) -> Endpoint:
        """Keep the token of the answer for the login. Raises VenueError."""
        assert answer is not None
        try:
            self._token = _read_token(answer.body).token if answer.status == 200 else ""
        except UNREADABLE:
            self._token = ""
        if not self._token:
            raise refused(self.venue, answer)
        return Endpoint(self.url)

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:  # noqa: ARG002 (the token is enough)
        """Return the request for the account's events."""
        params = {"listenToken": self._token}
        return (said({"id": "1", "method": "userDataStream.subscribe.listenToken", "params": params}),)

    def _news(self, event: Mapping[str, Any]) -> Sequence[News]:
        """Return what an event says; of money only that it moved: what is owed is not told, nor what is a loan's."""
        kind = event.get("e")
        if kind == "balanceUpdate":
            return (Hint("exposure"),)
        return (Alive(),) if kind == "outboundAccountPosition" else super()._news(event)


__all__ = ["STRAINED", "BinanceMarginAccount", "BinanceMarginStream"]
