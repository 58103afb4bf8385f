from decimal import Decimal
from typing import Any

import msgspec
import pytest

from abidance.model.account import RoundTrip
from abidance.model.errors import InvariantError
from abidance.model.market import Bar
from abidance.model.order import Direction
from abidance.model.outcome import Notice, RefusalCode
from abidance.risk.breaker import DAY_NS, Breakers
from abidance.risk.config import BreakersConfig
from abidance.risk.state import ACTIVE, TradingState

HOUR = 3_600_000_000_000
DAY = 20_000 * DAY_NS
BTC, ETH = "BTC/USDT@BINANCE", "ETH/USDT@BINANCE"


EVERY_BREAKER = {"losing_streak": 8, "volatility_spike": 8.0, "data_anomaly": 0.5}


def breakers(**config: Any) -> Breakers:
    return Breakers(BreakersConfig.model_validate(EVERY_BREAKER | config))


def fed(*equities: float, ts: int = DAY, **config: Any) -> Breakers:
    subject = breakers(**config)
    for at, equity in enumerate(equities):
        subject.on_equity(ts + at * HOUR, equity)
    return subject


def run_state(subject: Breakers, ts: int) -> TradingState:
    return subject.state("", "", ts).state


def code_of(notice: Notice | None) -> str | None:
    return notice.code if notice else None


def trip(pnl: str, ts: int = DAY, strategy: str = "s") -> RoundTrip:
    one = Decimal(1)
    return RoundTrip(BTC, strategy, Direction.LONG, ts - HOUR, one, ts, one, one, Decimal(pnl), one, one)


def bar(at: int, close: float = 100.0, width: float = 1.0, name: str = BTC, timeframe: str = "1h") -> Bar:
    return Bar(name, timeframe, DAY + at * HOUR, close, close + width / 2, close - width / 2, close, 1.0)


# --- daily loss -----------------------------------------------------------------------------------


def test_a_loss_since_midnight_reduces_until_the_next_midnight() -> None:
    subject = fed(100.0, 97.0, daily_loss=0.05)

    notice = subject.on_equity(DAY + 2 * HOUR, 95.0)

    assert code_of(notice) == "daily_loss"
    assert subject.state("s", BTC, DAY + 3 * HOUR).code is RefusalCode.REDUCING
    assert run_state(subject, DAY + DAY_NS - 1) is TradingState.REDUCING
    assert run_state(subject, DAY + DAY_NS) is TradingState.ACTIVE


def test_the_daily_loss_is_told_once_a_day_and_watched_anew_the_next() -> None:
    subject = fed(100.0, 95.0, daily_loss=0.05, max_drawdown=None)

    same_day = subject.on_equity(DAY + 5 * HOUR, 80.0)
    midnight = subject.on_equity(DAY + DAY_NS, 80.0)
    next_day = subject.on_equity(DAY + DAY_NS + HOUR, 76.0)

    assert same_day is None
    assert midnight is None
    assert code_of(next_day) == "daily_loss"


def test_the_day_is_measured_from_its_opening_and_not_from_its_high() -> None:
    subject = fed(100.0, 120.0, 114.0, 95.01, daily_loss=0.05, max_drawdown=None)

    assert run_state(subject, DAY + 5 * HOUR) is TradingState.ACTIVE


def test_equity_at_midnight_opens_the_day() -> None:
    subject = fed(100.0, 97.0, ts=DAY - HOUR, daily_loss=0.05)

    assert subject.on_equity(DAY + HOUR, 93.0) is None
    assert code_of(subject.on_equity(DAY + 2 * HOUR, 92.0)) == "daily_loss"


def test_without_a_value_at_midnight_the_last_one_before_opens_the_day() -> None:
    subject = fed(100.0, ts=DAY - HOUR, daily_loss=0.05)

    assert code_of(subject.on_equity(DAY + HOUR, 95.0)) == "daily_loss"


# --- drawdown -------------------------------------------------------------------------------------


def test_a_drawdown_from_the_highest_equity_halts_until_released() -> None:
    subject = fed(100.0, 200.0, 151.0, daily_loss=None, max_drawdown=0.25)
    assert run_state(subject, DAY) is TradingState.ACTIVE

    notice = subject.on_equity(DAY + 4 * HOUR, 150.0)

    assert code_of(notice) == "max_drawdown"
    assert subject.state("s", BTC, DAY + 1000 * DAY_NS).code is RefusalCode.HALTED
    assert subject.on_equity(DAY + 5 * HOUR, 10.0) is None


def test_after_a_release_the_highest_equity_starts_anew() -> None:
    subject = fed(200.0, 150.0, 140.0, daily_loss=None, max_drawdown=0.25)

    subject.release(DAY + 3 * HOUR, "ada")

    assert run_state(subject, DAY + 3 * HOUR) is TradingState.ACTIVE
    assert subject.on_equity(DAY + 4 * HOUR, 105.1) is None
    assert code_of(subject.on_equity(DAY + 5 * HOUR, 105.0)) == "max_drawdown"


def test_one_fall_through_both_floors_trips_both_and_tells_the_graver() -> None:
    subject = fed(100.0)

    notice = subject.on_equity(DAY + HOUR, 50.0)
    subject.release(DAY + 2 * HOUR, "ada")

    assert code_of(notice) == "max_drawdown"
    assert run_state(subject, DAY + 2 * HOUR) is TradingState.REDUCING


def test_a_breaker_that_is_off_never_trips() -> None:
    subject = fed(100.0, 1.0, 0.0, -5.0, daily_loss=None, max_drawdown=None)

    assert run_state(subject, DAY + 5 * HOUR) is TradingState.ACTIVE


@pytest.mark.parametrize("equity", [float("nan"), float("inf"), float("-inf")])
def test_an_equity_that_is_no_number_halts_once(equity: float) -> None:
    subject = fed(100.0)

    first = subject.on_equity(DAY + HOUR, equity)
    again = subject.on_equity(DAY + 2 * HOUR, equity)

    assert code_of(first) == "equity_unknown"
    assert again is None
    assert run_state(subject, DAY + HOUR) is TradingState.HALTED


def test_nothing_trips_before_there_is_any_money() -> None:
    subject = fed(0.0, 0.0, 100.0, 99.0)

    assert run_state(subject, DAY + 4 * HOUR) is TradingState.ACTIVE


# --- deposits and withdrawals ---------------------------------------------------------------------


def test_a_withdrawal_is_no_loss() -> None:
    subject = fed(100.0, 98.0)

    subject.on_external(-88.2)

    assert subject.on_equity(DAY + 3 * HOUR, 9.8) is None
    assert code_of(subject.on_equity(DAY + 4 * HOUR, 9.49)) == "daily_loss"


def test_a_deposit_hides_no_loss() -> None:
    subject = fed(100.0, 80.0, daily_loss=None)

    subject.on_external(920.0)

    assert subject.on_equity(DAY + 3 * HOUR, 1000.0) is None
    assert code_of(subject.on_equity(DAY + 4 * HOUR, 937.0)) == "max_drawdown"


def test_money_that_arrives_first_or_in_an_empty_account_starts_the_count() -> None:
    subject = breakers(daily_loss=None)

    subject.on_external(100.0)
    subject.on_equity(DAY, 0.0)
    subject.on_external(50.0)

    assert subject.on_equity(DAY + HOUR, 38.0) is None
    assert code_of(subject.on_equity(DAY + 2 * HOUR, 37.5)) == "max_drawdown"


def test_a_deposit_of_no_number_is_a_broken_promise() -> None:
    with pytest.raises(InvariantError):
        breakers().on_external(float("nan"))


# --- kill and release -----------------------------------------------------------------------------


def test_the_kill_switch_is_latched() -> None:
    subject = fed(100.0)

    notice = subject.kill(DAY + HOUR, "ada", "strange fills")
    subject.on_equity(DAY + 9 * DAY_NS, 500.0)

    assert notice.level == "error"
    assert "ada" in notice.text
    assert "strange fills" in notice.text
    assert run_state(subject, DAY + 99 * DAY_NS) is TradingState.HALTED


def test_the_kill_switch_works_before_and_during_anything() -> None:
    early, late = breakers(), fed(100.0, 10.0)

    early.kill(DAY, "")
    early.on_equity(DAY, 100.0)
    late.kill(DAY + HOUR, "ada")
    late.kill(DAY + HOUR, "ada")

    assert run_state(early, DAY) is run_state(late, DAY) is TradingState.HALTED


def test_a_release_frees_and_says_what_it_ended() -> None:
    subject = breakers()
    subject.kill(DAY, "ada")

    notice = subject.release(DAY + HOUR, "bob")

    assert "bob" in notice.text
    assert "ada" in notice.text
    assert subject.state("s", BTC, DAY + HOUR) == ACTIVE
    assert subject.release(DAY + HOUR, "bob").level == "info"


def test_a_release_before_any_equity_keeps_the_drawdown_breaker_alive() -> None:
    subject = breakers(daily_loss=None)
    subject.kill(DAY, "ada")
    subject.release(DAY, "ada")

    subject.on_equity(DAY, 100.0)

    assert code_of(subject.on_equity(DAY + HOUR, 75.0)) == "max_drawdown"


# --- losing streak --------------------------------------------------------------------------------


def test_a_losing_streak_lets_its_strategy_rest() -> None:
    subject = breakers(losing_streak=3, cooldown=24.0)

    notices = [subject.on_round_trip(trip("-1")) for _ in range(3)]

    assert [code_of(notice) for notice in notices] == [None, None, "losing_streak"]
    assert subject.state("s", BTC, DAY + 24 * HOUR - 1).code is RefusalCode.STRATEGY_STOPPED
    assert subject.state("s", BTC, DAY + 24 * HOUR) == ACTIVE
    assert subject.state("t", BTC, DAY) == ACTIVE


def test_a_win_or_a_break_even_ends_the_streak_and_others_do_not_count() -> None:
    subject = breakers(losing_streak=2)

    notices = [
        subject.on_round_trip(each)
        for each in (trip("-1"), trip("1"), trip("-1"), trip("0"), trip("-1"), trip("-1", strategy="t"))
    ]

    assert notices == [None] * 6


def test_after_a_rest_the_streak_is_counted_anew_and_open_trips_are_ignored() -> None:
    subject = breakers(losing_streak=2)
    subject.on_round_trip(trip("-1"))
    subject.on_round_trip(trip("-1"))

    open_trip = subject.on_round_trip(msgspec.structs.replace(trip("-1"), ts_exit=None))
    third = subject.on_round_trip(trip("-1"))

    assert open_trip is None
    assert third is None


# --- bars -----------------------------------------------------------------------------------------


def test_a_bar_far_wilder_than_the_hundred_before_lets_its_instrument_rest() -> None:
    subject = breakers(volatility_spike=8.0, cooldown_bars=6)
    for at in range(100):
        subject.on_bar(bar(at))

    quiet = subject.on_bar(bar(100, width=8.0))
    notice = subject.on_bar(bar(101, width=8.57))

    assert quiet is None
    assert code_of(notice) == "volatility_spike"
    assert subject.state("s", BTC, DAY + 102 * HOUR).code is RefusalCode.ENTRIES_PAUSED
    assert subject.state("s", BTC, DAY + 108 * HOUR - 1).code is RefusalCode.ENTRIES_PAUSED
    assert subject.state("s", BTC, DAY + 108 * HOUR) == ACTIVE
    assert subject.state("s", ETH, DAY + 102 * HOUR) == ACTIVE


def test_the_mean_range_equals_the_plain_mean_of_the_last_hundred() -> None:
    subject = breakers(volatility_spike=2.0, cooldown_bars=1)
    widths = [1.0 + (at * 37 % 11) / 7 + (5.0 if at % 61 == 0 else 0.0) for at in range(500)]

    seen = [subject.on_bar(bar(at, width=width)) is not None for at, width in enumerate(widths)]

    expected = [
        at >= 100 and width > 2.0 * sum(widths[at - 100 : at]) / 100 for at, width in enumerate(widths)
    ]
    assert any(expected)
    assert seen == expected


def test_before_a_hundred_bars_and_in_a_dead_market_no_spike_is_seen() -> None:
    young, dead = breakers(), breakers()

    first = [young.on_bar(bar(at, width=90.0 if at == 99 else 1.0)) for at in range(100)]
    flat = [dead.on_bar(bar(at, width=0.0)) for at in range(150)]

    assert first == [None] * 100
    assert [*flat, dead.on_bar(bar(150, width=5.0))] == [None] * 151


def test_a_spike_that_goes_on_is_told_once_and_prolongs_the_rest() -> None:
    subject = breakers(cooldown_bars=2)
    for at in range(100):
        subject.on_bar(bar(at))

    notices = [code_of(subject.on_bar(bar(100 + at, width=90.0))) for at in range(3)]

    assert notices == ["volatility_spike", None, None]
    assert subject.state("s", BTC, DAY + 104 * HOUR).code is RefusalCode.ENTRIES_PAUSED


@pytest.mark.parametrize(
    ("close", "expected"), [(150.0, None), (150.1, "data_anomaly"), (50.0, None), (49.9, "data_anomaly")]
)
def test_a_jump_between_closes_is_an_anomaly(close: float, expected: str | None) -> None:
    subject = breakers(data_anomaly=0.5)
    subject.on_bar(bar(0))

    assert code_of(subject.on_bar(bar(1, close))) == expected


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "prices",
    [
        (100, 99, 98, 98.5), (100, 101, 100.5, 100.7), (100, 101, 99, 102), (100, 101, 99, 98), (0, 1, 0, 1),
        (-1, 1, -1, 1), (NAN, 101, 99, 100), (100, NAN, 99, 100), (100, 101, NAN, 100), (100, 101, 99, NAN),
        (100, INF, 99, 100), (100, 99, 101, 100),
    ],
)  # fmt: skip
def test_impossible_prices_are_an_anomaly_and_leave_no_trace(
    prices: tuple[float, float, float, float],
) -> None:
    subject = breakers()
    subject.on_bar(bar(0))

    notice = subject.on_bar(Bar(BTC, "1h", DAY + HOUR, *prices, 1.0))

    assert code_of(notice) == "data_anomaly"
    assert subject.state("s", BTC, DAY + 3 * HOUR).code is RefusalCode.ENTRIES_PAUSED
    assert subject.on_bar(bar(20)) is None


def test_breakers_on_data_can_be_off() -> None:
    subject = breakers(volatility_spike=None, data_anomaly=None)
    for at in range(120):
        subject.on_bar(bar(at))

    found = [
        subject.on_bar(bar(120, 900.0, 500.0)),
        subject.on_bar(Bar(BTC, "1h", DAY, NAN, NAN, NAN, NAN, 0.0)),
    ]

    assert found == [None, None]


def test_each_instrument_and_timeframe_is_judged_by_its_own_past() -> None:
    subject = breakers()
    for at in range(120):
        subject.on_bar(bar(at))

    found = [
        subject.on_bar(bar(120, 3000.0, 90.0, ETH)),
        subject.on_bar(bar(120, 100.0, 90.0, timeframe="1d")),
    ]

    assert found == [None, None]


def test_the_gravest_standing_is_told_first() -> None:
    subject = fed(100.0, 94.0, losing_streak=2)
    subject.on_round_trip(trip("-1"))
    subject.on_round_trip(trip("-1"))

    day = subject.state("s", BTC, DAY + 2 * HOUR)
    subject.kill(DAY + 2 * HOUR, "ada")

    assert day.code is RefusalCode.REDUCING
    assert subject.state("s", BTC, DAY + 2 * HOUR).code is RefusalCode.HALTED
