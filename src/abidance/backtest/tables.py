"""What the compiled executor works on: flat tables, one row per venue, instrument, strategy, place, series, order.

A place is one strategy in one instrument. Rows name each other by number. Every table is a numpy record array, so that
a run can stop between two slices, have its logs made longer, and go on.
"""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abidance.model.order import Purpose
from abidance.model.outcome import RefusalCode

PURPOSES = tuple(Purpose)
REFUSALS = tuple(RefusalCode)

# what an order is, what it waits for, what is said about it
MARKET, STOP, LIMIT = 0, 1, 2
FOR_TRIGGER, FOR_MARKET, FOR_LIMIT = 0, 1, 2
SUBMIT, CANCEL, AMEND = 0, 1, 2
ACCEPTED, CANCELLED, AMENDED, UNCHANGED, EXPIRED = range(5)
OPEN, PARTIAL, FILLED, ENDED, TIMED_OUT = range(5)
# how a strategy sizes
NOTIONAL, QUANTITY, FRACTION, RISK, VOLATILITY, KELLY = range(6)
# how a kernel came back
(
    DONE,
    LOGS_FULL,
    TOO_MANY_ORDERS,
    UNSOUND_PRICE,
    VENUE_MINIMUM,
    FINE_GRID,
    VENUE_BALANCE,
    BIG_NUMBER,
    TOO_MANY_FILLS,
    TOO_SOON,
    SPOT_SALE,
    SHARES_DUE,
) = range(12)
# what waits for the next open in the fast lane, and where the trailing distance of a bar comes from
NOTHING, ENTERING, LEAVING = 0, 1, 2
NO_TRAIL, SHARE, COLUMN = 0, 1, 2
BEYOND = 100
"""The fast lane's word for what the whole executor has to run."""
APPROVED = -1
NEVER = 1 << 62
"""A moment that does not come."""
ASKED_OF_PLACE = 32
"""How many entries of one place are compared with the next."""
OFF_GRID = -1
"""Stands for the price of a limit that is no whole number of ticks."""

_I, _F = np.int64, np.float64


def _record(whole: str, real: str) -> np.dtype[Any]:
    return np.dtype([(name, _I) for name in whole.split()] + [(name, _F) for name in real.split()])


RUN = _record(
    "at status keeps_logs keeps_curves day days now venue_now moment order_seq fill_seq refused n_held n_margined n_owed n_entries n_free n_commands n_news"
    " n_orders_log n_fills_log n_refusals_log n_notices_log sent_first sent_count max_positions rate_limit require_stop"
    " halted lost_until midnight losing_streak cooldown cooldown_bars closed_trips tick_at look_at next_due window"
    " slices paid pay_from n_funding_log shares_at halfway doubt_from doubted is_priced",
    "equity pool pool_low max_exposure max_asset max_venue max_leverage max_order_value collar stale_after exit_margin"
    " daily_loss max_drawdown spike jump day_open peak floor seen_equity start_equity highest deepest fees max_slippage",
)
VENUE = _record("n_tiers recent_first n_recent", "wallet wallet_low reserved reserved_low traded traded_low")
# What every fill and every wish reads stands side by side, on both sides of where whole numbers end.
TOOL = _record(
    "latency n_orders used last watch_from tier most_ticks n_margined min_lots rest_until mark_ts venue"
    " asset perpetual unlimited on_touch tick_num tick_den lot_num lot_den",
    "mark lot tick unit taker maker min_notional cost_rate spread fixed impact unit_low taker_low"
    " maker_low share desk_price watch_low watch_high maintenance max_leverage volume worst_taker worst_maker",
)
STRATEGY = _record(
    "method bar_ns allow_short losses rest_until by_limit timeout retries results lookback enough sized",
    "allocation amount quantity fraction risk max_fraction threshold leverage leverage_low settled settled_low max_cost",
)
SERIES = _record("tool first count at span drives watch_at watch_full present", "watch_close watch_total")
PLACE = _record(
    "series row0 has_exits owed owed_tries ended entered largest aim reason leaving stop_order goal_order max_bars"
    " best_bars ts_entry doubted sign planned has_stop strategy tool lots",
    "size entry cost profit wish stop best plan_entry goal trailing even stop_distance goal_distance cost_low"
    " profit_low margin margin_low liquidation earned spent spent_low",
)
ORDER = _record(
    "working stage ticks venue_lots venue_ticks purpose reduce_only cancelling amending seq arrival"
    " rested tried row ts_intent log expiry deadline tries kind known side place tool lots filled",
    "decision level reference held held_low",
)
LANE = _record("at look day rest soon", "worst above below gain basis")
LEG = _record(
    "first span turn last_turn done pending lots row stop_ticks goal_ticks rested used follows follow follow_first",
    "stop goal share",
)
COMMAND = _record("kind order lots ticks", "")
FILL_LOG = _record("seq place side lots ticks maker purpose ts tier fee", "")
ORDER_LOG = _record(
    "place side kind lots ticks filled purpose reduce_only row ts_intent ts_last ts_first state",
    "decision expected",
)
REFUSAL_LOG = _record("ts place code side lots ticks kind purpose reduce_only row", "decision")
NOTICE_LOG = _record("ts code subject until", "first second")
PAYMENT = _record("ts tool stop", "value value_low")
ASKED = _record("ts side lots ticks", "")
DOUBT = _record("ts stop place doubted notice", "")
FUNDING_LOG = _record("place payment lots fills", "")

Table = Any


@dataclass(frozen=True, eq=False)
class World:
    """Everything a compiled run reads and writes.

    `head` tells kernels where each table lies: an address, a number of rows and of columns for every other field.
    """

    run: Table
    venues: Table
    tools: Table
    strategies: Table
    series: Table
    places: Table
    orders: Table
    book: NDArray[np.int64]
    """Orders of each instrument, oldest first."""
    scan: NDArray[np.int64]
    entries: NDArray[np.int64]
    """Orders that could make a position larger, oldest first."""
    held: NDArray[np.int64]
    """Places with a position, in the order in which they were opened."""
    owed: NDArray[np.int64]
    """Places whose exit at market was refused, in that order."""
    free: NDArray[np.int64]
    commands: Table
    news: Table
    sent: NDArray[np.int64]
    widths: NDArray[np.float64]
    by_series: NDArray[np.int64]
    """Places of each series, in the order in which their strategies were added; -1 ends the row."""
    when: NDArray[np.int64]
    ts: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    target: NDArray[np.float64]
    confidence: NDArray[np.float64]
    stop: NDArray[np.float64]
    goal: NDArray[np.float64]
    trailing: NDArray[np.float64]
    even: NDArray[np.float64]
    volatility: NDArray[np.float64]
    when_scored: NDArray[np.int64]
    """The last moment of each day, where the run keeps no curves."""
    equity: NDArray[np.float64]
    exposure: NDArray[np.float64]
    profits: NDArray[np.float64]
    fill_log: Table
    order_log: Table
    refusal_log: Table
    notice_log: Table
    lane: Table = field(default_factory=lambda: np.zeros(1, LANE))
    """Where the fast lane is."""
    legs: Table = field(default_factory=lambda: np.zeros(0, LEG))
    """What the fast lane keeps of each place."""
    turn_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """The slice of each turn: one place's after the other's, each in order."""
    agenda: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """When the fast lane has to look at which place (`agenda`)."""
    soon: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """The places that it has to look at in the very next slice."""
    gains: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0, _F))
    """What open positions gain, at the close of each slice that is yet to come."""
    day_ends: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """The last slice of each day (UTC)."""
    rest_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """After which slice an instrument rests, which one, and until when."""
    rest_tool: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    rest_until: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    follow: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0, _F))
    """Trailing distances of every bar, of the places that have such a column."""
    tick_ts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """The trades that fill orders, where they do, in their common order."""
    tick_price: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0, _F))
    tick_size: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0, _F))
    tick_tool: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """The instrument of each trade; empty when there is only one."""
    stops: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, _I))
    """How many trades come before each slice."""
    tiers: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0), _F))
    """Of each instrument six numbers a fee tier: pairs of the value from which it holds, and of its two rates."""
    recent_ts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), _I))
    """When each venue with fee tiers filled something lately, in a ring, and the value of it as a pair."""
    recent_value: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0), _F))
    results: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0), _F))
    """Of each strategy the latest closed round trips as shares of their entry value, in a ring; for Kelly's share."""
    payments: Table = field(default_factory=lambda: np.zeros(0, PAYMENT))
    """The funding that falls due, in that order: for one lot held long, in the ledger's unit as a pair.

    `stop` is how many trades come before it, where trades fill orders.
    """
    funding_log: Table = field(default_factory=lambda: np.zeros(0, FUNDING_LOG))
    """What funding each position paid or received: for how many lots, and after how many fills."""
    asked: Table = field(default_factory=lambda: np.zeros(0, ASKED))
    """What each place asked for lately, `ASKED_OF_PLACE` rows of it; a row that is older than the window is free."""
    doubts: Table = field(default_factory=lambda: np.zeros(0, DOUBT))
    """When which place begins or ends to be in doubt, in that order, and what is told of it (the number of a text).

    `stop` is how many trades come before it, where trades fill orders; a `place` of -1 is only told.
    """
    head: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        tables = (getattr(self, name) for name in TABLES)
        words = [(table.ctypes.data, len(table), table.shape[-1]) for table in tables]
        object.__setattr__(self, "head", np.array(words, dtype=np.int64).ravel())

    def lend(self, name: str, column: NDArray[Any]) -> None:
        """Let kernels see another column in the place of a table; whoever lends it keeps it alive."""
        kind = np.int64 if name in WHOLE else np.float64
        assert column.dtype == kind, f"{name} takes a column of {kind.__name__}"
        assert column.flags.c_contiguous, f"{name} takes a column in one piece"
        at = 3 * TABLES.index(name)
        object.__setattr__(self, name, column)
        self.head[at], self.head[at + 1] = column.__array_interface__["data"][0], len(column)

    @property
    def address(self) -> int:
        """Return where `head` lies; it stays there as long as the world lives."""
        return int(self.head.ctypes.data)


TABLES = tuple(each.name for each in fields(World) if each.init)
RECORDS = {
    "run": RUN, "venues": VENUE, "tools": TOOL, "strategies": STRATEGY, "series": SERIES, "places": PLACE,
    "orders": ORDER, "commands": COMMAND, "news": COMMAND, "fill_log": FILL_LOG, "order_log": ORDER_LOG,
    "refusal_log": REFUSAL_LOG, "notice_log": NOTICE_LOG, "lane": LANE, "legs": LEG,
    "payments": PAYMENT, "funding_log": FUNDING_LOG, "asked": ASKED, "doubts": DOUBT,
}  # fmt: skip
"""The record of each table that has one; the others hold plain numbers."""
WHOLE = frozenset(
    {
        "book", "scan", "entries", "held", "owed", "free", "sent", "by_series", "when", "when_scored", "ts",
        "turn_at", "agenda", "soon", "day_ends", "rest_at", "rest_tool", "rest_until", "tick_ts", "tick_tool", "stops",
        "recent_ts",
    }
)  # fmt: skip
"""The plain tables of int64; the rest are float64."""
WIDE = frozenset({"book", "by_series", "widths", "profits", "tiers", "recent_ts", "recent_value", "results"})
"""The tables with columns."""
