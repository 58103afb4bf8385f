"""Runs, orders, fills, positions, money and risk on the wire."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from abidance.api.schemas.wire import ID, LABEL, Amount, Moment, Schema, Share, VenueName
from abidance.model.event import CircuitState, ControlAction, Part
from abidance.model.order import (
    PRICED,
    TRIGGERED,
    Direction,
    OrderState,
    OrderType,
    Purpose,
    Side,
    TimeInForce,
)
from abidance.model.outcome import RefusalCode
from abidance.risk.state import TradingState


class StandingOut(Schema):
    """Whether new risk may be taken, and why not."""

    state: TradingState
    code: RefusalCode | None = None
    reason: str = ""


Killed = Literal["", "entries", "all", "flatten"]


class UnreadableOut(Schema):
    """A run whose journal cannot be read."""

    name: str
    problem: str
    is_running: bool
    """Whether a process answers at its door."""
    killed: Killed
    """How far the kill switch in its folder is thrown."""


class RunOut(Schema):
    """One run: a bot, on paper or live, and where it stands."""

    name: str
    run_id: str
    mode: str
    is_real: bool
    """Whether real orders leave."""
    is_running: bool
    """Whether a process answers at the run's door: only then can it be steered."""
    is_current: bool
    """Whether all that is on record was read a moment ago; what is told is old otherwise."""
    created: Moment
    now: Moment
    """The time of the last event; in a replay that is market time."""
    code_version: str
    currency: str
    instruments: list[str]
    strategies: list[str]
    start_equity: float
    equity: float
    profit: float
    drawdown: Share
    """How far equity is below its highest, as a share: zero or negative."""
    profit_today: float
    profit_week: float
    profit_month: float
    exposure: Share
    open_positions: int
    open_orders: int
    fills: int
    standing: StandingOut
    killed: Killed
    """How far the kill switch in its folder is thrown, whether or not the bot has seen that."""
    seq: int
    """Number of the last record that was read."""
    changes: int
    """Number of the last change that the stream has told."""
    problem: str = ""
    """Why the journal cannot be read on, if it cannot."""


class OrderOut(Schema):
    """An order and where it is in its life."""

    id: str
    strategy: str
    instrument: str
    side: Side
    type: OrderType
    quantity: Amount
    price: Amount | None
    trigger: Amount | None
    filled: Amount
    remaining: Amount
    average_price: Amount | None
    fees: Amount
    state: OrderState
    is_open: bool
    reason: str
    purpose: Purpose
    tag: str
    confidence: float
    reduce_only: bool
    post_only: bool
    time_in_force: TimeInForce
    decision_price: Amount
    ts: Moment
    ts_last: Moment


class FillOut(Schema):
    """One execution of one of our orders; `ref` names it in the ledger and in `/why`.

    `fee_worth` is what a fee in a third asset stands for, in quote units: it counts where nothing prices that asset.
    """

    ref: str
    id: str
    order_id: str
    strategy: str
    instrument: str
    side: Side
    quantity: Amount
    price: Amount
    value: Amount
    fee: Amount
    fee_asset: str
    fee_worth: Amount | None
    is_maker: bool
    purpose: Purpose
    ts: Moment


class StepOut(Schema):
    """One moment in the life of an order: `kind` is the command or answer, `data` what it said."""

    seq: int
    ts: Moment
    kind: str
    data: dict[str, Any]


class EntryOut(Schema):
    """One line of the ledger: `amount` came to the account (negative: left it) because of `ref`."""

    ts: Moment
    ref: str
    venue: str
    asset: str
    account: str
    kind: str
    amount: Amount


class EventOut(Schema):
    """Something that entered the engine."""

    kind: str
    ts: Moment
    data: dict[str, Any]


class VerdictOut(Schema):
    """Risk's answer to a request."""

    approved: bool
    code: RefusalCode | None = None
    reason: str = ""


class SizingOut(Schema):
    """How large a wish became an order: the rule that a run keeps for its strategy, and what it was applied to."""

    rule: dict[str, Any]
    """The method and its settings, as `[strategies.sizing]` has them."""
    equity: float
    """Of the run when it was decided, in its currency."""
    allocation: float | None
    """The strategy's share of it then; null where the run moves shares by itself."""


class LevelOut(Schema):
    """Where a protective order stood, and where it was moved to: `prices` from each of `ts` on, to `until`."""

    order_id: str
    strategy: str
    purpose: Purpose
    ts: list[Moment]
    prices: list[Amount]
    until: Moment | None
    """When it was filled or taken back; null while it stands."""


class OpenedOut(Schema):
    """The entry that an exit closes: the fill that opened what was held, or was the newest to make it larger."""

    fill: FillOut
    """Its `ref` asks why it came to be."""
    cause: str
    signal: dict[str, Any] | None
    sizing: SizingOut | None
    instead: dict[str, str]


class WhyOut(Schema):
    """Everything that led to an order or a fill, and everything that came of it.

    Where a part is null or empty, `instead` says why in a sentence, by its name.
    """

    order: OrderOut | None
    """Null for a fill that no order of the run asked for: a liquidation, a trade by hand."""
    fill: FillOut | None
    cause: str
    """Who or what wanted it, in a sentence."""
    tick: Amount
    """The step of the instrument's prices."""
    trigger: EventOut | None
    """The bar, tick, answer or command on which it was decided."""
    seen: EventOut | None
    """The bar or tick that filled it; of a real venue the newest of the instrument when the venue told of the fill."""
    entry: OpenedOut | None
    """What it closes; null for what closes nothing."""
    rule: str
    """What set the price of a stop or a take-profit; empty for what has none."""
    signal: dict[str, Any] | None
    """What the strategy wished: the target with its strength, confidence and price."""
    sizing: SizingOut | None
    """By which rule it was sized; null for exits, protective orders, orders by hand."""
    request: dict[str, Any] | None
    """What sizing and execution made of it."""
    verdict: VerdictOut | None
    standing_refusals: list[str]
    """What else was refused in the same step."""
    steps: list[StepOut]
    """The request that left, each answer, each change."""
    ledger: list[EntryOut]
    round_trip: "RoundTripOut | None"
    instead: dict[str, str]
    """By the name of a part (`trigger`, `seen`, `signal`, `sizing`, `verdict`, `request`, `steps`, `ledger`)."""


class PositionOut(Schema):
    """What a strategy holds in an instrument now."""

    strategy: str
    instrument: str
    direction: Direction
    quantity: Amount
    average_price: Amount
    price: float | None
    value: float
    """At the last price, in the run's currency, without sign."""
    unrealised: float
    """Profit of closing at the last price, before costs, in quote units."""
    realised: Amount
    fees: Amount
    funding: Amount
    share: Share
    """Value as a share of equity."""
    stop: Amount | None
    take_profit: Amount | None
    liquidation_price: Amount | None
    ts_opened: Moment


class RoundTripOut(Schema):
    """From flat to flat, or still open (`ts_exit` null, `pnl` at the last price)."""

    number: int | None
    instrument: str
    strategy: str
    direction: Direction
    ts_entry: Moment
    entry_price: Amount
    ts_exit: Moment | None
    exit_price: Amount | None
    quantity: Amount
    pnl: Amount
    """In quote units, net of fees and funding."""
    pnl_share: Share
    fees: Amount
    funding: Amount
    tags: list[str]
    """What the strategy marked its orders with."""
    exit_reason: str
    labels: list[str]
    """What people marked it with."""
    note: str


class NoteIn(Schema):
    """What a person writes about a closed round trip, in place of what was there."""

    labels: Annotated[list[Annotated[str, Field(pattern=LABEL)]], Field(max_length=16)]
    note: Annotated[str, Field(max_length=4_000)]


class ContributionOut(Schema):
    """What a strategy brought in an instrument, in the run's currency at the last price of the quote unit."""

    strategy: str
    instrument: str
    closed: float
    """Of round trips that are over."""
    open: float
    """Of the one that is not, at the last price."""


class CorrelationOut(Schema):
    """How the instruments' returns went together over the newest bars that all of them have; null: not known."""

    timeframe: str
    bars: int
    instruments: list[str]
    matrix: list[list[float | None]]


class BalanceOut(Schema):
    """What a wallet holds of an asset, and what is owed of it."""

    venue: str
    asset: str
    total: Amount
    owed: Amount
    """Lent by the venue, interest included; it is not deducted from the total."""
    value: float
    """Of the total, in the run's currency."""


class EquityOut(Schema):
    """The equity curve in columns, oldest first, thinned to the number of points that was asked for."""

    ts: list[int]
    equity: list[float]
    exposure: list[float]
    drawdown: list[float]


class RefusalOut(Schema):
    """An order that risk refused."""

    seq: int
    ts: Moment
    code: RefusalCode
    reason: str
    strategy: str
    instrument: str
    side: Side
    quantity: Amount
    purpose: Purpose
    confidence: float
    decision_price: Amount


NoticeLevel = Literal["info", "warning", "error"]


class NoticeOut(Schema):
    """Something a person should know."""

    ts: Moment
    level: str
    code: str
    text: str
    strategy: str


class AlertOut(NoticeOut):
    """Something a person should look at, and the run that tells of it."""

    run: str


class UsageOut(Schema):
    """One limit and how much of it is used."""

    name: str
    used: float
    limit: float | None
    is_spent: bool
    """Whether entries that would add to it are refused, by the rule with which risk judges them."""


class FeedOut(Schema):
    """How far a stream may be trusted."""

    instrument: str
    kind: str
    state: str
    reason: str
    served_by: str
    ts: Moment


class VenueOut(Schema):
    """Whether what is known of an account may be acted on."""

    venue: str
    is_trusted: bool
    reasons: list[str]
    ts: Moment


class CircuitOut(Schema):
    """A circuit breaker: of a part of a venue, or of the whole run where the venue is empty."""

    venue: str
    part: Part
    state: CircuitState
    reason: str
    trips: int
    rest: float
    """Seconds of its rest, from `ts` on."""
    ts: Moment


class WithoutStopOut(Schema):
    """How long positions of a strategy in an instrument stood without their whole stops; what lasts, once over."""

    strategy: str
    instrument: str
    times: int
    total: float
    """Seconds in all."""
    longest: float
    """Seconds at most."""


class CircuitsIn(Schema):
    """Which circuits to close: of one venue, of one part; what is left out is every one."""

    venue: VenueName = ""
    part: Part | None = None


class RiskOut(Schema):
    """Where risk stands: the run, each strategy, limits and how much of them is used, breakers, feeds."""

    standing: StandingOut
    strategies: dict[str, StandingOut]
    usage: list[UsageOut]
    limits: dict[str, Any]
    breakers: dict[str, Any]
    refusals: dict[str, int]
    """Refused orders by code."""
    feeds: list[FeedOut]
    venues: list[VenueOut]
    circuits: list[CircuitOut]
    """All that have moved, closed ones too."""
    without_stop: list[WithoutStopOut]
    """From the fill to the moment at which the whole position had its stop, or was left."""


Ceiling = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class LimitsIn(Schema):
    """Limits that are to change while a bot runs, as `[risk.limits]` has them; what is left out stays."""

    loosen: bool = False
    """Say so when a limit is to let more through than now."""
    max_exposure: Ceiling | None = None
    max_asset_exposure: Ceiling | None = None
    max_venue_exposure: Ceiling | None = None
    max_borrowed: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] | None = None
    """0 borrows nothing."""
    max_positions: Count | None = None
    max_leverage: Ceiling | None = None
    max_order_value: Ceiling | None = None
    """Null is no limit."""
    max_slippage: Ceiling | None = None
    """Null is no limit."""
    price_collar: Ceiling | None = None
    max_orders_per_minute: Count | None = None
    duplicate_window: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None
    stale_after: Ceiling | None = None
    require_stop: bool | None = None
    exit_margin: Ceiling | None = None


class BreakersIn(Schema):
    """Breakers that are to change while a bot runs, as `[risk.breakers]` has them; left out stays, null is off."""

    loosen: bool = False
    """Say so when a breaker is to let more through than now."""
    daily_loss: Fraction | None = None
    max_drawdown: Fraction | None = None
    losing_streak: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    cooldown: Ceiling = 24.0
    volatility_spike: Annotated[float, Field(gt=1, le=1e12, allow_inf_nan=False)] | None = None
    cooldown_bars: Count = 6
    data_anomaly: Fraction | None = None
    unprotected: Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)] | None = None


class RunStrategyOut(Schema):
    """A strategy as it runs: its values now, its share, what it has earned."""

    name: str
    strategy: str
    status: Literal["active", "paused", "stopped"]
    failure: str
    """Why it was stopped, when it failed and nobody has started it again."""
    instruments: list[str]
    timeframe: str
    parameters: dict[str, int | float | str | bool]
    allocation: Share
    profit: float
    trades: int
    win_rate: Share | None
    open_positions: int
    standing: StandingOut


class ControlIn(Schema):
    """An order to a running node; `strategy` empty means all."""

    action: ControlAction
    strategy: str = Field(default="", max_length=64)
    values: dict[str, int | float | str | bool] = Field(default_factory=dict, max_length=64)


class OrderIn(Schema):
    """A manual order: it belongs to a strategy and passes the same risk gate as the strategy's own."""

    id: str = Field(default="", max_length=64, pattern=ID)
    """Chosen by the sender: the same id sent again gets the first answer and places nothing."""
    strategy: str = Field(min_length=1, max_length=64)
    instrument: str = Field(min_length=3, max_length=128)
    side: Side
    quantity: Amount = Field(gt=0, allow_inf_nan=False, max_digits=36, decimal_places=18)
    type: OrderType = OrderType.MARKET
    price: Amount | None = Field(
        default=None, validate_default=True, gt=0, allow_inf_nan=False, max_digits=36, decimal_places=18
    )
    trigger: Amount | None = Field(
        default=None, validate_default=True, gt=0, allow_inf_nan=False, max_digits=36, decimal_places=18
    )
    reduce_only: bool = False
    post_only: bool = False
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_distance: float | None = Field(default=None, gt=0, le=1e12)
    """Quote units between the entry and its stop-loss; a run may demand one."""
    take_profit_distance: float | None = Field(default=None, gt=0, le=1e12)

    @field_validator("price", "trigger")
    @classmethod
    def _is_there(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        kind = info.data.get("type")
        if value is None and kind in _ASKED[info.field_name or ""]:
            raise PydanticCustomError("needed", f"A {kind.value.replace('_', '-')} order needs one.")
        return value


_ASKED = {
    "price": PRICED,
    "trigger": TRIGGERED,
}
"""What orders of some types must have."""


class AmendIn(Schema):
    """A change of a resting order; what is left out stays."""

    quantity: Amount | None = Field(default=None, gt=0, allow_inf_nan=False, max_digits=36, decimal_places=18)
    price: Amount | None = Field(default=None, gt=0, allow_inf_nan=False, max_digits=36, decimal_places=18)
    trigger: Amount | None = Field(default=None, gt=0, allow_inf_nan=False, max_digits=36, decimal_places=18)


class AnswerOut(Schema):
    """What a running node did with an order of ours."""

    seq: int
    """Its place in the journal."""
    orders: list[str]
    """Ids of what left."""
    refusals: list[VerdictOut]
    notices: list[NoticeOut]


class StrategyChangeIn(Schema):
    """What is to change about a running strategy; what is left out stays."""

    parameters: dict[str, int | float | str | bool] = Field(default_factory=dict, max_length=64)
    allocation: float | None = Field(default=None, gt=0, le=1)
    status: Literal["active", "paused", "stopped"] | None = None
