"""The user's bars on disk: round trips, merging, conflicts, killed writers, foreign files."""

import multiprocessing
import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.market.store import BarStore, fingerprint
from abidance.market.store.tables import SCHEMA_VERSION
from abidance.model.errors import DataError, UsageError
from tests.unit.market.series import BTC, ETH, NEW_YEAR, a_series, changed

HOUR = 3_600_000_000_000
PERPETUAL = "BTC/USDT:USDT@BYBIT"


def test_what_was_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    store, bars = BarStore(tmp_path / "not" / "there" / "yet"), a_series(2000)

    added = store.write(bars)

    assert added == 2000
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(bars)


def test_the_tree_has_one_file_a_month_with_ms_and_a_schema_version(tmp_path: Path) -> None:
    BarStore(tmp_path).write(a_series(24 * 40, instrument=PERPETUAL))

    folder = tmp_path / "BYBIT" / "BTC-USDT-USDT" / "bars" / "1h"
    assert sorted(p.name for p in folder.iterdir()) == ["2024-01.parquet", "2024-02.parquet"]
    january = pl.read_parquet(folder / "2024-01.parquet")
    assert january.height == 24 * 31
    assert january.schema == {
        "ts": pl.Int64,
        **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
    }
    assert january["ts"][0] == NEW_YEAR // 1_000_000
    assert pl.read_parquet_metadata(folder / "2024-01.parquet")["abidance.schema"] == str(SCHEMA_VERSION)


def test_a_read_takes_the_start_and_leaves_the_end(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.write(a_series(2000))

    part = store.read(BTC, "1h", NEW_YEAR + 10 * HOUR, NEW_YEAR + 1000 * HOUR)

    assert part.ts[0] == NEW_YEAR + 10 * HOUR
    assert part.ts[-1] == NEW_YEAR + 999 * HOUR
    assert len(store.read(BTC, "1h", NEW_YEAR + 5000 * HOUR)) == 0
    assert len(store.read(BTC, "1h", end=NEW_YEAR)) == 0


def test_what_is_read_cannot_be_changed(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.write(a_series())

    bars = store.read(BTC, "1h")

    with pytest.raises(ValueError, match="read-only"):
        bars.close[0] = 1.0


def test_signs_that_mean_something_to_a_shell_may_stand_in_the_folders_name(tmp_path: Path) -> None:
    store = BarStore(tmp_path / "my [old] data*?" / "x=1")
    store.write(a_series())

    assert fingerprint(store.read(BTC, "1h")) == fingerprint(a_series())
    assert len(store.inventory()) == 1


def test_writing_the_same_bars_twice_adds_nothing(tmp_path: Path) -> None:
    store, bars = BarStore(tmp_path), a_series(1000)
    store.write(bars)

    added = store.write(bars)

    assert added == 0
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(bars)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 1500), st.integers(1, 900)), min_size=1, max_size=6))
def test_overlapping_pieces_in_any_order_join_into_the_whole(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int]]
) -> None:
    store, whole = BarStore(tmp_path_factory.mktemp("store")), a_series(1500)
    covered = np.zeros(1500, dtype=bool)

    added = 0
    for start, length in cuts:
        piece = whole.slice(min(start, 1499), start + length)
        added += store.write(piece)
        covered[start : start + length] = True
        covered[min(start, 1499)] = True

    expected = Bars(BTC, "1h", whole.ts[covered], (column[covered] for column in whole.columns()))
    assert added == covered.sum()
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(expected)


def test_a_stored_bar_that_differs_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    store, bars = BarStore(tmp_path), a_series(1000)
    store.write(bars)
    before = fingerprint(store.read(BTC, "1h"))
    other = changed(a_series(2000), "close", 900, 100.25)

    with pytest.raises(
        DataError, match=r"at 2024-02-07 12:00 differs from the stored one: close is 100\.25"
    ) as error:
        store.write(other)

    assert "--replace" in error.value.remedy
    assert fingerprint(store.read(BTC, "1h")) == before


def test_with_replace_the_new_bars_win_and_the_others_stay(tmp_path: Path) -> None:
    store, bars = BarStore(tmp_path), a_series(1000)
    store.write(bars)
    patched = changed(bars, "close", 500, 123.0).slice(400, 600)

    added = store.write(patched, replace=True)

    assert added == 0
    stored = store.read(BTC, "1h")
    assert len(stored) == 1000
    assert stored.close[500] == 123.0
    assert stored.close[399] == bars.close[399]


class Killed(BaseException):
    """What a kill is to the code it ends: nothing that it could catch."""


def _kill(source: object, target: object) -> NoReturn:
    raise Killed


def test_a_writer_killed_before_the_rename_leaves_the_old_bars_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, old = BarStore(tmp_path), a_series(100)
    store.write(old)
    monkeypatch.setattr(os, "replace", _kill)

    with pytest.raises(Killed):
        store.write(a_series(1000))

    assert list(tmp_path.rglob("*.writing"))
    assert fingerprint(store.read(BTC, "1h")) == fingerprint(old)
    assert [holding.rows for holding in store.inventory()] == [100]


def test_a_first_write_that_is_killed_leaves_nothing_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BarStore(tmp_path)
    monkeypatch.setattr(os, "replace", _kill)

    with pytest.raises(Killed):
        store.write(a_series(100))

    assert store.inventory() == []
    assert len(store.read(BTC, "1h")) == 0


def test_the_next_write_finishes_the_work_of_a_killed_one_and_clears_its_leftovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, bars = BarStore(tmp_path), a_series(2000)
    real = os.replace
    renamed: list[Path] = []

    def kill_the_second(source: Path, target: Path) -> None:
        if renamed:
            raise Killed
        renamed.append(target)
        real(source, target)

    monkeypatch.setattr(os, "replace", kill_the_second)
    with pytest.raises(Killed):
        store.write(bars)
    monkeypatch.setattr(os, "replace", real)

    store.write(bars)

    assert fingerprint(store.read(BTC, "1h")) == fingerprint(bars)
    assert not list(tmp_path.rglob("*.writing"))


def _write_part(folder: Path, part: int) -> None:
    BarStore(folder).write(a_series(700).slice(part * 100, part * 100 + 100))


def test_several_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=_write_part, args=(tmp_path, i)) for i in range(4)
    ]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert fingerprint(BarStore(tmp_path).read(BTC, "1h")) == fingerprint(a_series(700).slice(0, 400))


@pytest.mark.parametrize(
    ("ts", "sentence"),
    [
        ([], "There are no bars"),
        ([NEW_YEAR, NEW_YEAR], "Bar 2 .* does not come after"),
        ([NEW_YEAR, NEW_YEAR + HOUR, NEW_YEAR], "Bar 3 .* does not come after"),
        ([NEW_YEAR + 1], "whole milliseconds"),
    ],
)
def test_bars_that_are_no_series_are_not_stored(tmp_path: Path, ts: list[int], sentence: str) -> None:
    bars = Bars(BTC, "1h", np.array(ts, dtype=np.int64), np.ones((5, len(ts))))

    with pytest.raises(DataError, match=sentence):
        BarStore(tmp_path).write(bars)

    assert not list(tmp_path.rglob("*.parquet"))


def test_a_disk_that_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")

    with pytest.raises(DataError, match="data cannot be written: File exists") as error:
        BarStore(tmp_path / "data").write(a_series())

    assert "permissions" in error.value.remedy


def test_a_value_that_is_no_number_equals_itself(tmp_path: Path) -> None:
    store, odd = BarStore(tmp_path), changed(a_series(), "volume", 3, float("nan"))
    store.write(odd)

    assert store.write(odd) == 0
    with pytest.raises(DataError, match="03:00 differs from the stored one: volume is 4, stored nan"):
        store.write(a_series())


@pytest.mark.parametrize(
    ("instrument", "timeframe"), [("../../etc@X", "1h"), ("BTC/USDT", "1h"), (BTC, "../1h")]
)
def test_a_name_that_is_none_never_becomes_a_path(tmp_path: Path, instrument: str, timeframe: str) -> None:
    with pytest.raises(UsageError):
        BarStore(tmp_path).read(instrument, timeframe)


def test_the_inventory_tells_rows_and_span_and_passes_over_what_is_not_ours(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    store.write(a_series(1000))
    store.write(a_series(10, instrument=PERPETUAL, timeframe="1d"))
    for name in ("BINANCE/notes/bars/1h/2024-01.parquet", "BINANCE/ETH-USDT/bars/soon/2024-01.parquet"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "BINANCE" / "BTC-USDT" / "bars" / "1h" / "copy of 2024-01.parquet").write_bytes(b"x")

    found = {h.instrument: (h.timeframe, h.rows, h.first, h.last, h.origin) for h in store.inventory()}

    assert found == {
        BTC: ("1h", 1000, NEW_YEAR, NEW_YEAR + 999 * HOUR, "stored"),
        PERPETUAL: ("1d", 10, NEW_YEAR, NEW_YEAR + 9 * 24 * HOUR, "stored"),
    }


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", b"not at all"])
def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    store = BarStore(tmp_path)
    store.write(a_series())
    next(tmp_path.rglob("2024-01.parquet")).write_bytes(content)

    with pytest.raises(DataError, match=r"2024-01\.parquet cannot be read") as error:
        store.read(BTC, "1h")

    assert "import" in error.value.remedy


def test_a_series_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    for instrument in (BTC, ETH, PERPETUAL):
        store.write(a_series(instrument=instrument))
    (tmp_path / "BINANCE/BTC-USDT/bars/1h/2024-01.parquet").write_bytes(b"not at all")
    empty = tmp_path / "BYBIT/BTC-USDT-USDT/bars/1h/2024-01.parquet"
    pl.read_parquet(empty).clear().write_parquet(empty, metadata={"abidance.schema": str(SCHEMA_VERSION)})

    found = {h.instrument: (h.rows, h.fault) for h in store.inventory()}

    assert found[ETH] == (48, "")
    assert "2024-01.parquet cannot be read" in found[BTC][1]
    assert "without a row" in found[PERPETUAL][1]
    assert all("Delete it" in fault for _, fault in found.values() if fault)


@pytest.mark.parametrize("metadata", [{"abidance.schema": "99"}, {}])
def test_a_file_with_another_schema_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    store = BarStore(tmp_path)
    store.write(a_series())
    path = next(tmp_path.rglob("2024-01.parquet"))
    pl.read_parquet(path).write_parquet(path, metadata=metadata)

    with pytest.raises(DataError, match="has the schema"):
        store.read(BTC, "1h")


def test_a_fingerprint_knows_content_and_not_the_order_of_series() -> None:
    one, other = a_series(), a_series(instrument=ETH)

    assert fingerprint(one, other) == fingerprint(other, one)
    assert fingerprint(one) == fingerprint(a_series())
    assert fingerprint(one) != fingerprint(changed(one, "volume", 3, 2.5))
    assert fingerprint(one) != fingerprint(one.slice(0, 47))
    assert fingerprint(one, other) != fingerprint(one)
