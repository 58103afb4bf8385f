"""What the venues' trading counters share: who listens to which account, figures in and out, and ended orders.

Speaks no venue's language.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange.accounts import Account
from abidance.testing.exchange.core import BUY
from abidance.testing.exchange.desk import Part, Placed, State, Ticket
from abidance.testing.exchange.house import Listener
from abidance.venues.dialect import Frame

LISTED_FOR = 7 * 86_400 * SECOND_NS
"""For how long some venues list executions at once."""
_LEAST, _MOST = Decimal("1e-12"), Decimal("1e15")


@dataclass
class _Ear:
    listener: Listener
    account: Account
    topics: set[str] = field(default_factory=set)


class Ears:
    """The connections on which accounts hear of themselves, each with the topics that it asked for."""

    def __init__(self) -> None:
        self._ears: dict[int, _Ear] = {}

    def admit(self, listener: Listener, account: Account) -> None:
        """Let a connection hear of an account from now on."""
        self._ears[listener.number] = _Ear(listener, account)

    def account(self, listener: Listener) -> Account | None:
        """Return of whom a connection hears, None when it was not let in."""
        found = self._ears.get(listener.number)
        return found.account if found else None

    def want(self, listener: Listener, topic: str) -> None:
        """Let a connection hear a topic too."""
        self._ears[listener.number].topics.add(topic)

    def drop(self, listener: Listener, topic: str) -> None:
        """Let a connection hear a topic no longer."""
        self._ears[listener.number].topics.discard(topic)

    def expel(self, account: Account, last_word: Frame = "") -> None:
        """Let nobody hear of an account any more."""
        for ear in self._of(account):
            if last_word:
                ear.listener.push("account ends", last_word)
        self._ears = {key: ear for key, ear in self._ears.items() if ear.account is not account}

    def tell(self, account: Account, topic: str, frame: Frame) -> None:
        """Push a frame to all who asked for a topic of an account."""
        for ear in self._of(account):
            if topic in ear.topics:
                ear.listener.push(f"account {topic}", frame)

    def wanted(self, account: Account, topic: str) -> bool:
        """Say whether anybody asked for a topic of an account."""
        return any(topic in ear.topics for ear in self._of(account))

    def _of(self, account: Account) -> Iterator[_Ear]:
        for key, ear in list(self._ears.items()):
            if ear.listener.is_over:
                del self._ears[key]
            elif ear.account is account:
                yield ear


def header(headers: Mapping[str, str], name: str) -> str:
    """Return a header whatever its case, the empty text without it."""
    return next((value for key, value in headers.items() if key.lower() == name.lower()), "")


def listed(ends: Iterable[int], now: int) -> tuple[int, int] | None:
    """Return of which time executions are listed, of the two ends (ns; 0: not named); None for more than seven days."""
    since, until = ends
    if since and until:
        return None if until - since > LISTED_FOR else (since, until)
    if since:
        return since, since + LISTED_FOR
    return (until or now) - LISTED_FOR, until or now


def figure(text: object) -> Decimal | None:
    """Read a decimal from a text or a number; None when it is none, not above 0, or beyond reason."""
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        return None
    return value if value.is_finite() and _LEAST < value < _MOST else None


def steps(text: object, step: Decimal) -> int | None:
    """Read a decimal as whole steps; None when it is none, not above 0, or not a multiple."""
    value = figure(text)
    if value is None or value % step:
        return None
    return int(value / step)


def plain(value: Decimal) -> str:
    """Write a decimal without an exponent and without idle zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def mean_price(order: Placed) -> str:
    """Return the average price of what traded, `0` before."""
    if not order.filled:
        return "0"
    return plain((order.paid / (order.filled * order.market.instrument.lot)).quantize(Decimal("1e-8")))


def fees(orders: Iterable[Part]) -> dict[str, Decimal]:
    """Add up fees by the asset in which they were paid."""
    found: dict[str, Decimal] = {}
    for part in orders:
        found[part.fee_asset] = found.get(part.fee_asset, Decimal(0)) + part.fee
    return found


def is_over(order: Placed) -> bool:
    """Say whether an order ended before all of it traded."""
    return order.state in (State.CANCELLED, State.EXPIRED)


def sided(ticket: Ticket, buy: str, sell: str) -> str:
    """Return the venue's word for a side."""
    return buy if ticket.side == BUY else sell
