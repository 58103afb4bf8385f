"""What the source alone tells: each shape of cheating is suspected, and honest shapes are left alone."""

import ast
import textwrap
from pathlib import Path

import pytest

from abidance.research.bias.lint import check_source, lint
from abidance.research.bias.rules import CHANCE, FUTURE, STATE, Finding
from abidance.research.bias.source import Source, sources_of
from abidance.strategy import library
from abidance.strategy.base import BarStrategy, EventStrategy
from abidance.strategy.mistakes import Place

HEAD = """\
import datetime, os, random, time
import datetime as dt
import numpy as np
import pandas as pd
import polars as pl
import scipy.signal as sig
from datetime import datetime as stamp
from numpy import roll
from scipy.signal import savgol_filter
from scipy import signal, stats
MEMORY = {}
LENGTHS = {"fast": 3}
"""


def findings(body: str, kind: type = BarStrategy, around: str = "") -> list[Finding]:
    """Return what is found in a strategy whose `signals` is `body`."""
    text = (
        f"{HEAD}{around}\nclass Mine(Kind):\n    def signals(self, bars):\n{textwrap.indent(body, ' ' * 8)}\n"
    )
    return lint([Source("mine.py", ast.parse(text), frozenset({"Mine"}))], kind)


@pytest.mark.parametrize(
    "code",
    [
        "np.roll(bars.close, -1)",
        "roll(bars.close, shift=-self.ahead)",
        "frame.shift(-1)",
        "pl.col('close').shift(n=-2)",
        "frame.close.pct_change(periods=-1)",
        "frame.close.diff(-1)",
        "x.bfill()",
        "x.fillna(method='bfill')",
        "x.fill_null(strategy='backward')",
        "x.interpolate()",
        "x.cum_max(reverse=True)",
        "pd.merge_asof(a, b, direction='forward')",
        "np.convolve(x, k, mode='same')",
        "np.convolve(x, k, 'same')",
        "x.rolling(9, center=True).mean()",
        "x.rolling_mean(9, center=True)",
        "savgol_filter(x, 9, 2)",
        "sig.filtfilt(b, a, x)",
        "signal.find_peaks(x)",
        "np.gradient(x)",
        "np.fft.rfft(x)",
        "bars.close.mean()",
        "np.std(bars.close)",
        "(x - x.mean()) / 2",
        "x.quantile(0.9)",
        "np.percentile(x, 90)",
        "pl.col('close').max()",
        "np.argmax(bars.high)",
        "x.argsort()",
        "max(bars.high)",
        "sorted(bars.close)",
        "np.polyfit(t, x, 1)",
        "stats.zscore(x)",
        "scaler.fit_transform(x)",
        "x.rank()",
        "np.maximum.accumulate(x[::-1])[::-1]",
        "x[::-1].cumsum()[::-1]",
        "np.append(x[1:], 0.0)",
        "np.concatenate((x[self.k:], tail))",
        "np.r_[x[1:], np.nan]",
        "np.diff(x, append=0.0)",
        "frame.resample('1D').last()",
        "np.repeat(days, 24)",
        "bars.universe['BTC/USDT@BINANCE']",
        "bars.close[-1]",
        "len(bars) % 2",
    ],
)
def test_a_shape_that_looks_ahead_is_suspected(code: str) -> None:
    found = findings(f"y = {code}")

    assert [each.kind for each in found] == [FUTURE]
    assert found[0].place == Place("mine.py", 16)
    assert found[0].message.endswith(".")


@pytest.mark.parametrize(
    "code",
    [
        "target[:-1] = bars.close[1:] > bars.close[:-1]",
        "for i in range(len(x) - 1):\n    y[i] = x[i + 1] > x[i]",
    ],
)
def test_a_statement_that_brings_later_rows_back_is_suspected(code: str) -> None:
    assert [each.kind for each in findings(code)] == [FUTURE]


@pytest.mark.parametrize(
    "code",
    [
        "np.random.normal(size=3)",
        "np.random.default_rng().normal()",
        "random.random()",
        "time.time()",
        "stamp.now()",
        "datetime.datetime.utcnow()",
        "dt.datetime.now()",
        "np.datetime64('now')",
        "open('x.csv')",
        "pd.read_csv('x.csv')",
        "pl.scan_parquet('x')",
        "path.read_text()",
        "os.environ['X']",
        "os.getenv('X')",
        "hash('x')",
    ],
)
def test_what_does_not_repeat_is_suspected(code: str) -> None:
    assert {each.kind for each in findings(f"y = {code}")} == {CHANCE}


@pytest.mark.parametrize(
    "code",
    [
        "self.peak = 3",
        "self.peak += 3",
        "self.seen[3] = 1",
        "self.seen.append(3)",
        "MEMORY['x'] = 3",
        "MEMORY.update(x=3)",
        "type(self).peak = 3",
        "self.__class__.peak = 3",
        "global LENGTHS",
    ],
)
def test_what_is_kept_from_call_to_call_is_suspected(code: str) -> None:
    assert [each.kind for each in findings(code)] == [STATE]


def test_a_column_that_all_instances_share_is_suspected() -> None:
    tree = ast.parse("class Mine(Kind):\n    seen = []\n    names = ('a', 'b')\n")

    found = lint([Source("mine.py", tree, frozenset({"Mine"}))], BarStrategy)

    assert [(each.kind, each.place.line) for each in found] == [(STATE, 2)]


@pytest.mark.parametrize(
    "code",
    [
        "np.roll(bars.close, 1)",
        "np.roll(bars.close, self.lag)",
        "frame.shift(1)",
        "bars.close[1:] > bars.close[:-1]",
        "np.append(np.nan, x[:-1])",
        "np.r_[np.nan, bars.close[:-1]]",
        "np.concatenate(([np.nan], x[1:]))",
        "np.diff(x, prepend=np.nan)",
        "np.maximum.accumulate(bars.high)",
        "np.convolve(x, k)[: len(x)]",
        "np.convolve(x, k[::-1], mode='valid')",
        "x.rolling(9).mean()",
        "x.rolling(9).rank(pct=True)",
        "x.expanding().max()",
        "x.ewm(span=9).std()",
        "frame.group_by('day').agg(pl.col('close').max())",
        "np.lib.stride_tricks.sliding_window_view(x, 9).mean(axis=1)",
        "np.mean(stack, axis=0)",
        "bars.close[i - 20 : i].mean()",
        "np.max(x[i - 20 : i])",
        "max(self.fast, self.slow)",
        "min(3, len(bars))",
        "np.argmax(~np.isnan(x))",
        "np.minimum(x, y)",
        "len(bars) - 1",
        "bars.ts[-1]",
        "bars.close[0]",
        "np.random.default_rng(7)",
        "dt.timedelta(hours=1)",
        "LENGTHS['fast']",
        "bars.other('BTC/USDT@BINANCE').close",
        "bars.align(days, days.close)",
    ],
)
def test_an_honest_shape_is_left_alone(code: str) -> None:
    assert findings(f"y = {code}") == []


@pytest.mark.parametrize(
    "code",
    [
        "for i in range(1, len(x)):\n    y[i] = y[i - 1] + x[i]",
        "for i in range(len(x) - 1):\n    y[i + 1] = x[i + 1] - x[i]",
        "recent = x[i - 20 : i]\ny = recent.max()",
        "for window in windows:\n    y = window.mean()",
        "target[1:][x[1:] > x[:-1]] = 1.0",
        "before = np.roll(x, 3)\nbefore[:3] = np.nan",
        "seen = []\nseen.append(3)",
    ],
)
def test_honest_statements_are_left_alone(code: str) -> None:
    assert findings(code) == []


def test_a_function_that_nobody_calls_is_no_part_of_the_strategy() -> None:
    around = "def used(x):\n    return x.mean()\n\ndef unused(x):\n    return x.max()\n"

    found = findings("y = used(bars.close)", around=around)

    assert ["`mean`" in each.message for each in found] == [True]


def test_a_strategy_over_events_may_remember() -> None:
    assert findings("self.seen.append(3)\nself.peak = 3", EventStrategy) == []
    assert [each.kind for each in findings("MEMORY['x'] = 3", EventStrategy)] == [STATE]


@pytest.mark.parametrize("name", library.__all__)
def test_nothing_that_ships_is_suspected(name: str) -> None:
    cls = getattr(library, name)

    assert sources_of(cls)
    assert lint(sources_of(cls), cls) == []


def test_a_suspicion_is_a_warning_until_a_replay_blames_the_same_statement(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "class Mine(Kind):\n    def signals(self, bars):\n        y = f(\n            x.mean()\n        )\n"
    )
    source = Source(str(file), ast.parse(file.read_text()), frozenset({"Mine"}))
    found = lint([source], BarStrategy)

    alone = check_source([source], found, [])
    elsewhere = check_source([source], found, [Place(str(file), 2)])
    confirmed = check_source([source], found, [Place(str(file), 3)])

    assert [check.verdict.value for check in (alone, elsewhere, confirmed)] == ["warn", "warn", "fail"]
    assert "mine.py:4: `x.mean()`" in alone.sentence


def test_a_class_without_a_source_is_left_open() -> None:
    made = type("Made", (BarStrategy,), {"__module__": "nowhere"})

    check = check_source(sources_of(made), [], [])

    assert check.verdict == "unchecked"
