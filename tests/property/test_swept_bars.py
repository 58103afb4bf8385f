"""Bars made of long tapes by compiled code are those that are made of short ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.market import build
from abidance.market.build import Tape, build_time_bars
from tests.unit.market.series import BTC, NEW_YEAR

SECOND = 1_000_000_000


def tape_of(seed: int, count: int, gap: float, flaw: str) -> Tape:
    rng = np.random.default_rng(seed)
    ts = NEW_YEAR + np.cumsum(rng.exponential(gap * SECOND, count) * (rng.random(count) < 0.7)).astype(
        np.int64
    )
    price = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, count))), 2)
    size = np.round(rng.exponential(1.0, count), 8) + 1e-8
    at = count // 2
    if flaw == "late" and count > 2:
        ts[at], ts[at - 1] = ts[at - 1], ts[at]
    elif flaw == "price":
        price[at] = np.nan
    elif flaw == "size":
        size[at] = 0.0
    elif flaw == "ancient":
        ts[0] = 5
    return Tape(ts, price, size)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 400),
    gap=st.sampled_from([0.01, 3.0, 50.0, 5000.0]),
    flaw=st.sampled_from(["", "", "", "late", "price", "size", "ancient"]),
    timeframe=st.sampled_from(["1m", "5m", "1w"]),
    fill=st.booleans(),
    until=st.sampled_from([None, 10_000 * SECOND]),
)
def test_compiled_code_makes_the_same_bars(
    seed: int, count: int, gap: float, flaw: str, timeframe: str, fill: bool, until: int | None
) -> None:
    tape = tape_of(seed, count, gap, flaw)
    end = None if until is None else int(tape.ts[-1]) + until

    plain = build_time_bars(BTC, timeframe, tape, fill=fill, until=end)
    clean = tape.is_clean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "LONG", 0)
        swept = build_time_bars(BTC, timeframe, tape, fill=fill, until=end)
        is_clean = tape.is_clean()

    assert swept.ts.tolist() == plain.ts.tolist()
    assert [column.tolist() for column in swept.columns()] == [column.tolist() for column in plain.columns()]
    assert is_clean == clean


def test_columns_of_unequal_length_are_never_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LONG", 0)
    tape = tape_of(1, 10, 1.0, "")

    assert not Tape(tape.ts, tape.price[:-1], tape.size).is_clean()
