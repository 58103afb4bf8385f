"""What a venue's folder must say so that the one gateway code can trade on it with an account.

Everything here is pure: a call to make as the venue wants it (ccxt signs it), and what its answers and the frames of
its private stream mean. Nothing opens a socket, keeps time or decides. What an answer proves is told by `Reply`: a
refusal that is not on the venue's own list of proofs is UNKNOWN, never a guess.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from abidance.kernel.log import PROCESS
from abidance.model.command import Amend, Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderState, OrderType, Side, TimeInForce
from abidance.venues.dialect import Alive, Answered, Closing, Dropped, Endpoint, Frame
from abidance.venues.frames import UNREADABLE
from abidance.venues.net.transport import Answer

T = TypeVar("T")
OrderKey = tuple[str, str]
"""An instrument and the venue's id of an order in it: Binance counts orders of each instrument by themselves."""
WAITING = "algo"
"""What stands before the number of an order that waits for its trigger, where it then trades under another one."""
_MOST_DIGITS = 40


class Credentials(NamedTuple):
    """What signs requests; KuCoin has a passphrase besides. Never shown: it tells itself as three stars."""

    key: str
    secret: str
    passphrase: str = ""

    def __repr__(self) -> str:
        return "Credentials(***)"


class Call(NamedTuple):
    """A request before it is signed, in ccxt's terms: `section` is its name of the host and kind of API.

    Urgent calls (cancels, exits) may use what is kept in reserve of the venue's limits.
    """

    section: tuple[str, ...]
    method: str
    path: str
    params: Mapping[str, object] = {}
    is_urgent: bool = False
    rows: tuple[object, ...] = ()
    """What is sent in place of parameters where the venue wants a list."""
    told: object = None
    """What is handed back with the answer and never sent."""
    about: tuple[tuple[str, int], ...] = ()
    """The orders that it places or changes: their instruments, and since when they are (ns, venue's time)."""


class Proof(StrEnum):
    """What an answer to a change proves."""

    DONE = "done"
    """The venue did it."""
    REFUSED = "refused"
    """The venue did not do it and never will: on its list of refusals."""
    ABSENT = "absent"
    """The venue knows no such order now; that alone proves nothing about a new one."""
    LIVE = "live"
    """The venue has an order of this id already."""
    LATE = "late"
    """The request was out of its time: our clock or the way is at fault; not done."""
    UNKNOWN = "unknown"
    """It may or may not have been done."""


class OrderReport(msgspec.Struct, frozen=True, gc=False):
    """What a venue says of one order. `order_id` is our client id as the venue repeats it, empty when there is none.

    `filled` is cumulative. A venue that does not say a value leaves it None. An order `is_forced` when the venue itself
    placed it: to liquidate or deleverage a position, or because a contract ended. `ts` is of what is told, `created` of
    when it was placed.
    """

    order_id: str
    venue_id: str
    instrument: str
    state: OrderState
    side: Side
    quantity: Decimal
    filled: Decimal
    ts: int
    price: Decimal | None = None
    trigger: Decimal | None = None
    reason: str = ""
    is_forced: bool = False
    created: int | None = None

    @property
    def key(self) -> OrderKey:
        """Return by what the order is known: no other one has it."""
        return self.instrument, self.venue_id


class Execution(msgspec.Struct, frozen=True, gc=False):
    """One execution of an order of the account; `id` is unique per instrument, `fee` is positive when paid.

    It `is_forced` when it is known to be of an order that the venue itself placed.
    """

    id: str
    order_id: str
    venue_id: str
    instrument: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    ts: int
    is_maker: bool = False
    is_forced: bool = False

    @property
    def key(self) -> OrderKey:
        """Return by what its order is known: no other one has it."""
        return self.instrument, self.venue_id


class Funds(msgspec.Struct, frozen=True, gc=False):
    """How much of an asset the account has, how much of that no order holds, and how much of it is owed.

    What was lent is part of the total; `debt` has the interest that was charged: `interest`, where the venue says it.
    """

    asset: str
    total: Decimal
    free: Decimal
    debt: Decimal = ZERO
    interest: Decimal = ZERO


class Exposure(msgspec.Struct, frozen=True, gc=False):
    """A perpetual position as the venue has it: signed quantity in base units, mean entry price."""

    instrument: str
    quantity: Decimal
    entry: Decimal


class Mode(NamedTuple):
    """How an account trades one perpetual; `is_hedged` when long and short are held apart."""

    leverage: Decimal
    is_isolated: bool = False
    is_hedged: bool = False


class Moved(msgspec.Struct, frozen=True, gc=False):
    """Money that came or went by no order (a deposit, funding, interest), signed; `id` is the venue's, if any.

    It `is_of_trading` when what was traded brought it about, as a liquidation does, and no person.
    """

    asset: str
    amount: Decimal
    ts: int
    reason: str
    id: str = ""
    instrument: str = ""
    is_of_trading: bool = False


class Hint(msgspec.Struct, frozen=True, gc=False):
    """Something changed that the stream does not tell and that must be asked: `payments`, `mode` or `exposure`."""

    what: str


class KeyExpired(msgspec.Struct, frozen=True, gc=False):
    """The private stream ends because its key or token ran out."""


News = OrderReport | Execution | Funds | Moved | Hint | KeyExpired | Answered | Alive | Dropped | Closing


class Reply(NamedTuple):
    """What an answer to a submit, amend or cancel proves, and what it says besides.

    `venue_id` is the venue's id of an order that was placed, where the answer has that and not enough for a report.
    Without `has_left` not a byte of the request left, and the venue said nothing.
    """

    proof: Proof
    reason: str = ""
    reports: tuple[OrderReport, ...] = ()
    executions: tuple[Execution, ...] = ()
    venue_id: str = ""
    has_left: bool = True


class Page(NamedTuple):
    """Executions, and how to ask for those that follow when the answer was cut.

    That is another call, or `onward`: what to say besides in the call that was asked. `moved` is money that the venue
    lists among them.
    """

    executions: tuple[Execution, ...]
    more: Call | None = None
    onward: Mapping[str, object] = {}
    moved: tuple[Moved, ...] = ()

    def following(self, call: Call) -> Call | None:
        """Return the call for the page after the one that `call` brought; None at the end.

        A venue that leads nowhere new is not followed.
        """
        if self.more is not None:
            return self.more
        params = {**call.params, **self.onward}
        return None if params == call.params else call._replace(params=params)


class Rates(NamedTuple):
    """The fees of orders that rest and of orders that take, as shares of the value; a rebate is negative."""

    maker: Decimal
    taker: Decimal


class Tariff(NamedTuple):
    """The call that asks for the fees in an instrument, and what the body of its answer says."""

    call: Callable[[str], Call]
    read: Callable[[bytes], Rates]


class Best(NamedTuple):
    """The call that asks for the best bid and ask of an instrument, and what its answer says (or VenueError)."""

    call: Callable[[str], Call]
    read: Callable[[Answer], tuple[float, float]]


class Capability(msgspec.Struct, frozen=True):
    """What a venue really has, in one market. An order type that is not native is held and watched by us.

    `window` is for how many seconds after it was signed a submit may still be accepted. With `ids_once` a client id is
    refused for ever after its first use. `dead_man` says whether orders are cancelled by silence, and which. A venue
    that `infers_direction` takes an order with a trigger for one that waits on the other side of the market it meets.
    """

    native: frozenset[OrderType]
    in_force: frozenset[TimeInForce]
    post_only: bool
    amends: bool
    reduce_only: bool
    cancels_all: bool
    window: float
    ids_once: bool = False
    infers_direction: bool = False
    dead_man: str = ""
    notes: tuple[str, ...] = ()

    @property
    def one_exit(self) -> bool:
        """Say whether only one of several exits of a position can stand there, because it has the assets in keeping."""
        return not self.reduce_only

    @property
    def holds_goals(self) -> bool:
        """Say whether a goal waits with us while the stop of its position stands, because only one of them can."""
        return self.one_exit and OrderType.STOP in self.native


class PrivateStream(Protocol):
    """What happens to the account as the venue pushes it: one connection with its own way to log in."""

    venue: str
    url: str
    beside: str = ""
    """The path of the public streams that a stand-in's address may end in, where the private one is not below it."""
    tells_fills: bool = True
    """Executions come on it, with the ids that they have elsewhere; if not, they are asked for when an order filled."""
    confirms: bool = True
    """The venue answers the login; where it does not, being connected is being logged in."""

    def token(self) -> Call | None:
        """Return the call for the key or token of the private stream; None where the stream is signed itself."""
        return None

    def endpoint(self, answer: Answer | None) -> Endpoint:  # noqa: ARG002 (where there is a token)
        """Return where the private stream is, given the answer to `token`. Raises VenueError."""
        return Endpoint(self.url)

    def renew(self, token: Answer | None) -> tuple[Call, float] | None:  # noqa: ARG002 (where there is a key)
        """Return the call that keeps the key alive and how many seconds apart; None where nothing is needed."""
        return None

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:
        """Return the frames that log in and subscribe; `now` is the venue's time in ns UTC."""
        ...

    def ping(self) -> tuple[Frame, float] | None:
        """Return the frame that must be sent and how many seconds apart; None where the protocol's pings do."""
        return None

    def hear(self, frame: Frame) -> Sequence[News]:
        """Return what a frame says, in its order. Never raises: what cannot be read is `Dropped`."""
        ...


class AccountDialect(Protocol):
    """One venue and market as an account sees it; made for the instruments of a run."""

    venue: str
    ccxt: str
    """The name of ccxt's class that signs."""
    hosts: frozenset[str]
    """The only hosts to which anything signed may go."""
    counts: bytes = b""
    """What stands in the answer to a request whose number is too small; empty where requests are not numbered."""
    purse: str = ""
    """The venue's own name of the wallet from which this market is paid, where each market has its own."""
    capability: Capability
    instruments: Mapping[str, Instrument]
    stream: PrivateStream | None
    """None where nothing is pushed that could be read: then the account is asked more often."""
    own_nonce: bool = False
    """ccxt's own numbers of requests are kept."""
    too_often: tuple[bytes, ...] = ()
    """What stands in the first bytes of an answer, with status 200, that refuses for asking too often."""
    finds: bool = True
    """It is known, or has shown, that orders are found by our id; until then "no such order" proves nothing."""
    asks_whose: bool = False
    """Whose an execution is must be asked with `whose`: neither its order's id nor that of a forced one tells."""
    tells_whose: bool = False
    """The order that `whose` asks for bears our id if it is ours: one question shows whose an execution is."""
    onward: "Callable[[Answer], Mapping[str, object]] | None" = None
    """Returns what to say besides for the next page of open orders, nothing at the end; None where one has all."""
    strain: "Callable[[Answer], str] | None" = None
    """Returns why the venue may soon take what it lent, by the answer to `funds`; None where it does not tell."""
    ask_again: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    """Seconds between questions about an order of unknown outcome; the last one stays."""
    listed_for: int | None = None
    """For how long from the moment asked on (ns) an answer and its pages list executions; None: until now."""
    contracts: "Contracts | None" = None
    """How perpetuals are set and paid; None in a spot market."""
    lender: "Lender | None" = None
    """How this market's own wallet is lent something; None where that is not done."""
    tariff: Tariff | None = None
    """How it is asked what the account pays for trading; None where it is not."""
    best: Best | None = None
    """How the market's price is asked for while its streams are silent; None where it is not."""
    countdown: "Countdown | None" = None
    """What takes our orders back when we are not heard; None where there is none, or a stop of ours may stand."""

    async def prepare(self, ask: "Callable[[Call], Awaitable[Answer]]") -> None:
        """Ask for what must be known before anything else is asked. Raises UsageError and VenueError."""
        del ask  # most know all that they need

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order under our client id. Only for types in `capability.native`.

        Raises VenueError for one that cannot be said.
        """
        ...

    def amend(self, order: Order, command: Amend, venue_id: str) -> Call:  # noqa: ARG002 (many cannot)
        """Return the call that changes an order; only where `capability.amends`."""
        raise VenueError(f"{self.venue} changes no orders.", "Take it back and place another.")

    def cancel(self, order: Order, venue_id: str) -> Call:
        """Return the call that takes an order back; `venue_id` may be empty."""
        ...

    def cancel_all(self, instrument: str) -> Call:  # noqa: ARG002 (one venue may not)
        """Return the call that takes back every order in an instrument; only where `capability.cancels_all`."""
        raise VenueError(f"{self.venue} takes orders back one by one.", "Take back each.")

    def cancel_rest(self, instrument: str) -> Sequence[Call]:  # noqa: ARG002 (most have one list)
        """Return the calls that take back the orders in an instrument that `cancel_all` leaves."""
        return ()

    def proof(self, answer: Answer, instrument: str) -> Reply:
        """Return what the answer to one of the calls above proves."""
        ...

    # --- questions: readers raise VenueError for whatever is no answer to the question

    def find(self, order: Order) -> Iterable[Call]:
        """Return the calls that look for an order by our client id; the answer to each is known before the next."""
        ...

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found; None when the venue says that it knows no such order. Raises VenueError."""
        ...

    def open_orders(self) -> Sequence[Call]:
        """Return the calls that list all open orders of the run's instruments."""
        ...

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders; those of unknown instruments are left out. Raises VenueError."""
        ...

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for the executions in an instrument from `since` (ns UTC) on, oldest first."""
        ...

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return executions. Raises VenueError."""
        ...

    def whose(self, news: Execution | OrderReport) -> Call:
        """Return the call for the order behind an execution, by the venue's id of it, for `found`."""
        ...

    def funds(self) -> Call:
        """Return the call for all balances."""
        ...

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances that are not zero. Raises VenueError."""
        ...

    def exposures(self) -> Call | None:
        """Return the call for positions; None in a spot market."""
        return None

    def read_exposures(self, answer: Answer) -> Sequence[Exposure]:
        """Return positions of the run's instruments that are not flat. Raises VenueError."""
        raise refused(self.venue, answer)

    def clock(self) -> Call:
        """Return the call that asks for the venue's time."""
        ...

    def read_clock(self, answer: Answer) -> int:
        """Return the venue's time in ns UTC. Raises VenueError."""
        ...


class Contracts(Protocol):
    """How an account trades perpetuals, what changes that, and what funding they paid."""

    venue: str

    def payments(self, since: int) -> Call | None:  # noqa: ARG002 (many tell it otherwise)
        """Return the call for funding since a moment (ns UTC); None where executions tell it."""
        return None

    def read_payments(self, answer: Answer) -> Page:
        """Return funding of the run's instruments as `moved`. Raises VenueError."""
        raise refused(self.venue, answer)

    def mode(self, instrument: str) -> Sequence[Call]:
        """Return the calls that tell how the account trades an instrument."""
        ...

    def read_mode(self, answers: Sequence[Answer], instrument: str) -> Mode:
        """Return how the account trades an instrument, given the answers to `mode`. Raises VenueError."""
        ...

    def set_leverage(self, instrument: str, leverage: Decimal) -> Call:
        """Return the call that sets an instrument's leverage."""
        ...

    def set_margin(self, instrument: str, *, isolated: bool) -> Call | None:  # noqa: ARG002 (not everywhere)
        """Return the call that sets an instrument's margin mode; None where it is one for the whole account."""
        return None


class Lender(Protocol):
    """How a venue lends to the wallet from which spot orders are paid. An order never borrows by itself."""

    rounds: int = 0
    """To how many ns times of interest and loans are rounded down before they are compared; 0 where they are not."""
    lists_all: bool = True
    """Whether all interest is in the list; otherwise what the funds say of it is booked once no list has had it."""

    def borrow(self, asset: str, amount: Decimal) -> Call:
        """Return the call that asks for a loan."""
        ...

    def repay(self, asset: str, amount: Decimal) -> Call:
        """Return the call that gives so much back, out of what there is of the asset alone: nothing is sold for it."""
        ...

    def proof(self, answer: Answer) -> Reply:
        """Return what the answer to one of the calls above proves."""
        ...

    def interest(self, since: int) -> Call:
        """Return the call for the interest that was charged from `since` (ns UTC) on."""
        ...

    def read_interest(self, answer: Answer) -> Page:
        """Return interest as `moved`, below zero, each with the venue's id. Raises VenueError."""
        ...


class Countdown(Protocol):
    """A venue's dead man's switch: it takes orders back unless it is begun anew, and must find no stop of ours."""

    seconds: int
    """After how long it takes them."""

    def begin(self) -> Call:
        """Return the call that begins the countdown, or begins it anew."""
        ...

    def call_off(self) -> Call:
        """Return the call that ends it without taking anything."""
        ...

    def read(self, answer: Answer) -> None:
        """Return when the answer to one of the calls above says that it was done. Raises VenueError."""
        ...


def plain_number(value: Decimal) -> str:
    """Return a price or quantity as venues want it: every digit, no exponent, no zeros at the end."""
    return format(value.normalize(), "f")


def sound(*values: Decimal) -> None:
    """Raise ValueError unless every number is finite and not negative."""
    for value in values:
        if not value.is_finite() or value < 0:
            raise ValueError(f"{value} is no amount")


def is_moderate(value: Decimal) -> bool:
    """Say whether a number, signed or not, is finite and of a size that arithmetic with money can hold."""
    return value.is_finite() and abs(value.adjusted()) <= _MOST_DIGITS


def read(venue: str, answer: Answer, reader: Callable[[bytes], T]) -> T:
    """Return what an answer of 200 says. Raises VenueError when it is another one, or cannot be read."""
    if answer.status != 200:
        raise refused(venue, answer)
    with understood(venue, answer):
        return reader(answer.body)


@contextmanager
def understood(venue: str, answer: Answer) -> Iterator[None]:
    """Within it, whatever cannot be made of an answer's values is a VenueError: it is no answer to the question."""
    try:
        yield
    except (*UNREADABLE, KeyError, ArithmeticError) as error:
        raise refused(venue, answer) from error


def refused(venue: str, answer: Answer) -> VenueError:
    """Return the error for an answer that is none to the question that was asked."""
    text = PROCESS.text(
        answer.body[:4096].decode("utf-8", "replace")
    )  # venues may repeat what they were sent
    return VenueError(f"{venue} answered {answer.status}: {text[:200]}", "It is asked again.")


__all__ = [
    "AccountDialect",
    "Call",
    "Capability",
    "Contracts",
    "Countdown",
    "Credentials",
    "Execution",
    "Exposure",
    "Funds",
    "Hint",
    "KeyExpired",
    "Lender",
    "Mode",
    "Moved",
    "News",
    "OrderKey",
    "OrderReport",
    "Page",
    "PrivateStream",
    "Proof",
    "Rates",
    "Reply",
    "Tariff",
    "plain_number",
    "read",
    "refused",
    "sound",
    "understood",
]
