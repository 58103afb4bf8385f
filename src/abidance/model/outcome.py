"""What one step of the engine decided: risk's verdicts, the commands that leave, notices for people."""

from enum import StrEnum

import msgspec

from abidance.model.command import Command
from abidance.model.event import Event
from abidance.model.intent import Intent
from abidance.model.order import OrderRequest


class RefusalCode(StrEnum):
    """Why risk said no; `docs/refusals.md` explains each."""

    HALTED = "halted"
    REDUCING = "reducing"
    ENTRIES_PAUSED = "entries_paused"
    STRATEGY_STOPPED = "strategy_stopped"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    NO_PRICE = "no_price"
    STALE_DATA = "stale_data"
    FEED_NOT_CERTIFIED = "feed_not_certified"
    VENUE_NOT_TRUSTED = "venue_not_trusted"
    NOT_LISTED = "not_listed"
    CIRCUIT_OPEN = "circuit_open"
    UNKNOWN_ORDER_OPEN = "unknown_order_open"
    SHORT_NOT_ALLOWED = "short_not_allowed"
    NOT_REDUCING = "not_reducing"
    ZERO_QUANTITY = "zero_quantity"
    MIN_QUANTITY = "min_quantity"
    MIN_NOTIONAL = "min_notional"
    EXIT_NOT_FEASIBLE = "exit_not_feasible"
    PRICE_COLLAR = "price_collar"
    MAX_ORDER_VALUE = "max_order_value"
    MAX_SLIPPAGE = "max_slippage"
    MAX_COST = "max_cost"
    MAX_EXPOSURE = "max_exposure"
    MAX_ASSET_EXPOSURE = "max_asset_exposure"
    MAX_VENUE_EXPOSURE = "max_venue_exposure"
    MAX_BORROWED = "max_borrowed"
    MAX_POSITIONS = "max_positions"
    MAX_LEVERAGE = "max_leverage"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    ORDER_RATE = "order_rate"
    DUPLICATE = "duplicate"
    MISSING_STOP = "missing_stop"
    OPEN_ORDERS = "open_orders"
    MALFORMED = "malformed"
    BASKET = "basket"


class Approved(msgspec.Struct, frozen=True, gc=False, tag="approved"):
    """Risk's yes. Only `risk.gate` makes one; execution accepts nothing else."""

    request: OrderRequest


class Refused(msgspec.Struct, frozen=True, gc=False, tag="refused"):
    """Risk's no: a code for machines, a reason with the numbers for people."""

    request: OrderRequest
    code: RefusalCode
    reason: str


Verdict = Approved | Refused


class Notice(msgspec.Struct, frozen=True, gc=False, tag="notice"):
    """Something a person should know: a breaker tripped, a strategy failed. `level` is info, warning or error."""

    ts: int
    level: str
    code: str
    text: str
    strategy: str = ""


class Decided(msgspec.Struct, frozen=True, gc=False, tag="decided"):
    """What the journal keeps of a step that led to something, before its commands leave; `ts` is the engine's time.

    The n-th approval belongs to the n-th Submit.
    """

    ts: int
    intents: tuple[Intent, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()


Recorded = Event | Decided
"""Whatever a journal holds."""

YOUNGER = frozenset({"crumb", "fee_unpriced", "funding_unpriced"})
"""Codes of notices, nothing but words, of steps that earlier versions took in silence: their records lack them."""


def as_before(now: Recorded | None, then: Recorded | None) -> Recorded | None:
    """Return what comes of a step now as the version would have recorded it that recorded `then` in its place.

    It lacks those `YOUNGER` notices that `then` lacks, and nothing else; None when nothing is left.
    """
    if not isinstance(now, Decided):
        return now
    known = then.notices if isinstance(then, Decided) else ()
    notices = tuple([each for each in now.notices if each.code not in YOUNGER or each in known])
    if not (now.intents or now.verdicts or now.commands or notices):
        return None
    return msgspec.structs.replace(now, notices=notices)


class Outcome(msgspec.Struct, frozen=True, gc=False, tag="outcome"):
    """The record of one step: what entered, what was wished, what risk answered, what left."""

    event: Event
    intents: tuple[Intent, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()

    def decided(self, ts: int) -> Decided | None:
        """Return what is to be kept of the step, or None when it led to nothing."""
        if not (self.intents or self.verdicts or self.commands or self.notices):
            return None
        return Decided(ts, self.intents, self.verdicts, self.commands, self.notices)
