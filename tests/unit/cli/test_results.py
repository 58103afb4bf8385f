"""The terminal's tables: 80 columns, honest sentences, names as text."""

import io
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from abidance.backtest.breakdown import metrics_of
from abidance.backtest.result import DATA_NOTICE, BacktestResult
from abidance.cli.results import (
    format_days,
    format_duration,
    format_money,
    format_number,
    format_percent,
    results_table,
)
from abidance.model.outcome import Notice, RefusalCode
from tests.unit.backtest.results import BTC, START, make_bars, make_refusal, make_result, make_trip


def shown(result: BacktestResult, width: int = 80, *, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    console.print(results_table(result, *metrics_of(result)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 200])
def test_nothing_is_wider_than_80_columns(width: int) -> None:
    result = make_result(
        benchmark_name="a yardstick with a very long name indeed, longer than its column",
        strategy_equity={"s" * 120: np.ones(500)},
        round_trips=[make_trip(strategy="s" * 120, pnl="-123456789.12")],
        refusals=[make_refusal(reason="w" * 300)],
        notices=[Notice(START, "warning", "code", "long " * 60, "s" * 120)],
    )

    lines = [line.rstrip() for line in shown(result, width).splitlines()]

    assert max(map(len, lines)) <= 80


def test_the_strategy_stands_beside_buy_and_hold() -> None:
    result = make_result()
    run, benchmark = metrics_of(result)

    row = next(line for line in shown(result).splitlines() if "Final equity" in line)

    assert row.split()[-2:] == [f"{run.final_equity:,.2f}", f"{benchmark.final_equity:,.2f}"]


def test_every_section_and_group_is_there() -> None:
    text = shown(make_result())

    for words in (
        "Return", "Risk", "Trades", "Costs", "Sharpe", "Strategy", "Instrument", BTC, "Refused orders: 1",
        "max_exposure", "60 % is above 50 %.", "docs/refusals.md", "Notices", "Lost 5 % since midnight.",
    ):  # fmt: skip
        assert words in text, words


def test_a_run_without_trades_says_why_and_shows_no_empty_rows() -> None:
    text = shown(make_result(round_trips=[], fills=[], orders=[], refusals=[]))

    assert "Nothing was traded: the strategy gave no entry signal on this data." in one_line(text)
    assert "Win rate" not in text
    assert "Refused orders" not in text


def test_a_run_in_which_every_entry_was_refused_names_the_most_frequent_reason() -> None:
    refusals = [make_refusal(RefusalCode.NO_PRICE, "none"), *[make_refusal()] * 4]

    text = one_line(shown(make_result(round_trips=[], fills=[], orders=[], refusals=refusals)))

    assert "the risk rules refused 5 orders and none was filled" in text
    assert "The most frequent reason was max_exposure (4x): 60 % is above 50 %." in text


def test_a_handful_of_trades_is_called_luck() -> None:
    assert "With only 2 round trips, luck may explain all of it" in one_line(shown(make_result()))


def test_names_are_text_and_never_steer_the_terminal() -> None:
    name = "[red]x[/red]\x1b]0;owned\x07\u202e"
    result = make_result(
        strategy_equity={name: np.ones(500)},
        round_trips=[make_trip(strategy=name)],
        notices=[Notice(START, "warning", "code", name, name)],
        refusals=[make_refusal(reason=name)],
    )

    text = shown(result)

    assert "[red]x[/red]" in text
    assert not set(text) & set("\x1b\x07\u202e")


def test_colour_says_gain_and_loss_only() -> None:
    coloured = shown(
        make_result(round_trips=[make_trip("5"), make_trip("-9", strategy="other")]), colour=True
    )

    assert "\x1b[32m" in coloured or "\x1b[31m" in coloured
    assert "\x1b[32m" not in next(line for line in coloured.splitlines() if "Volatility" in line)


def test_many_instruments_show_those_that_moved_most() -> None:
    bars = [make_bars(f"C{i}/USDT@BINANCE", 50, i) for i in range(30)]
    trips = [make_trip(str(i), instrument=b.instrument) for i, b in enumerate(bars)]

    text = shown(make_result(50, bars=bars, round_trips=trips))

    assert "C29/USDT@BINANCE" in text
    assert "C3/USDT@BINANCE" not in text
    assert "and 10 that moved less" in text


def test_a_run_without_data_is_shown_too() -> None:
    empty = np.empty(0)
    result = make_result(
        0,
        bars=[],
        equity=empty,
        exposure=empty,
        benchmark=empty,
        strategy_equity={},
        round_trips=[],
        fills=[],
    )

    assert "No market data was replayed" in one_line(shown(result))


def test_rich_is_not_imported_until_a_table_is_made() -> None:
    code = "import sys, abidance.cli.results; sys.exit('rich' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.00 USDT"),
        (-0.0, "0.00 USDT"),
        (1234.5, "1,234.50 USDT"),
        (-1234567.891, "-1,234,567.89 USDT"),
        (0.8, "0.80 USDT"),
        (0.012345, "0.01235 USDT"),
        (0.00000123, "1.23e-06 USDT"),
    ],
)
def test_money_is_readable_at_every_size(value: float | None, text: str) -> None:
    assert format_money(value, "USDT" if value is not None else "") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.1234, "12.3%"),
        (-0.5, "-50.0%"),
        (0.00001, "0.0%"),
        (-0.0004, "0.0%"),
        (12.0, "1,200.0%"),
    ],
)
def test_shares_are_shown_as_percent(value: float | None, text: str) -> None:
    assert format_percent(value) == text


def test_a_signed_percentage_shows_its_plus() -> None:
    assert [format_percent(value, signed=True) for value in (0.1, -0.1, 0.0)] == ["+10.0%", "-10.0%", "0.0%"]


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (None, "-"),
        (0.0, "0s"),
        (0.01, "36s"),
        (5.2, "5h 12m"),
        (76.0, "3d 4h"),
        (48.0, "2d"),
        (24.02, "1d"),
        (9e5, "37500d"),
    ],
)
def test_durations_show_their_two_largest_units(hours: float | None, text: str) -> None:
    assert format_duration(hours) == text


@pytest.mark.parametrize(
    ("days", "text"), [(None, "-"), (1.5, "1d 12h"), (30.4, "30 days"), (912.0, "2.5 years"), (0.0, "0s")]
)
def test_days_are_counted_as_people_do(days: float | None, text: str) -> None:
    assert format_days(days) == text


def test_small_numbers_keep_their_digits() -> None:
    assert [format_number(value) for value in (0.005, 0.0000012, 3.0, -2.5)] == [
        "0.005",
        "1.20e-06",
        "3.00",
        "-2.50",
    ]


def test_what_there_is_to_say_about_the_data_comes_first_and_once() -> None:
    about = [Notice(START, "info", DATA_NOTICE, f"About {number}, [bold]\x1b[2J.") for number in range(6)]

    text = shown(make_result(3, notices=about))

    lines = text.splitlines()
    assert lines[0].startswith("Note: About 0, [bold]?[2J.")
    assert lines[4] == "Note: 2 more about the data, which the JSON holds.".ljust(80)
    assert text.count("About 0") == 1
    assert "Notices" not in text


def test_what_happened_in_a_run_is_told_apart_from_its_data() -> None:
    notices = [
        Notice(START, "info", DATA_NOTICE, "About data."),
        Notice(START, "error", "kill", "It was stopped."),
    ]

    text = shown(make_result(3, notices=notices))

    assert text.index("About data.") < text.index("Notices") < text.index("It was stopped.")


@pytest.mark.parametrize(
    "result",
    [make_result(23), make_result(23, round_trips=[], fills=[], orders=[], refusals=[])],
    ids=["traded", "idle"],
)
def test_a_run_shorter_than_a_day_has_dashes_for_a_year_and_says_why(result: BacktestResult) -> None:
    text = shown(result)

    rows = {line[:24].strip(): line[24:].split() for line in text.splitlines()}
    for name in ("Annual growth (CAGR)", "Volatility", "Sharpe", "Sortino", "Calmar", "Turnover a year"):
        assert rows[name] == ["-", "-"]
    assert "The run is shorter than a day, too short for figures per year." in one_line(text)


def test_a_run_of_a_day_and_more_says_nothing_of_being_short() -> None:
    assert "too short" not in shown(make_result(25))
