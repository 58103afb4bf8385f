"""The JSON document: its keys, its numbers, and that it is on the disk whole or not at all."""

import errno
import json
import os
import re
import stat
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abidance.backtest.breakdown import metrics_of
from abidance.backtest.export import ExportError, to_json, write_json, write_whole
from abidance.backtest.result import BacktestResult
from abidance.backtest.wording import iso_time
from abidance.model.errors import AbidanceError
from abidance.model.outcome import RefusalCode
from tests.unit.backtest.results import BTC, ETH, HOUR, START, make_fill, make_refusal, make_result, make_trip

KEYS = [
    "metrics", "benchmark_metrics", "round_trips", "fills", "equity", "config", "data", "version", "digest",
    "refusals", "notices",
]  # fmt: skip


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def exported(result: BacktestResult) -> dict[str, Any]:
    document = json.loads(to_json(result, *metrics_of(result)), parse_constant=refuse_constant)
    assert isinstance(document, dict)
    return document


def test_the_document_has_exactly_the_promised_keys() -> None:
    document = exported(make_result())

    assert list(document) == KEYS
    assert document["metrics"].keys() == document["benchmark_metrics"].keys()
    assert {"final_equity", "sharpe", "max_drawdown", "fees"} <= document["metrics"].keys()


def test_the_benchmark_is_measured_beside_the_run() -> None:
    result = make_result()

    document = exported(result)

    assert document["metrics"]["final_equity"] == pytest.approx(result.equity[-1])
    assert document["benchmark_metrics"]["final_equity"] == pytest.approx(result.benchmark[-1])


def test_an_open_round_trip_has_no_exit_time_at_all() -> None:
    closed, _, still_open = exported(make_result())["round_trips"]

    assert list(closed) == [
        "instrument", "strategy", "direction", "entry_time", "entry_price", "exit_time", "exit_price", "quantity",
        "pnl", "fees", "funding", "tags", "exit_reason",
    ]  # fmt: skip
    assert closed.keys() - still_open.keys() == {"exit_time", "exit_price"}


def test_numbers_are_numbers_and_times_are_utc() -> None:
    trip = exported(make_result())["round_trips"][0]

    assert trip["entry_time"] == "2024-01-01T05:00:00Z"
    assert trip["exit_time"] == "2024-01-01T15:00:00Z"
    assert (trip["entry_price"], trip["exit_price"], trip["pnl"]) == (40000.5, 40100.25, 10.0)
    assert all(
        isinstance(trip[name], float) for name in ("entry_price", "quantity", "pnl", "fees", "funding")
    )
    assert (trip["direction"], trip["tags"], trip["exit_reason"]) == ("long", ["breakout"], "trailing_stop")


def test_every_time_has_one_form() -> None:
    text = to_json(make_result(), *metrics_of(make_result())).decode()

    times = re.findall(r'"(\d{4}-\d\d-\d\dT[^"]*)"', text)

    assert len(times) > 500
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)


def test_equity_is_one_pair_per_slice() -> None:
    result = make_result(30)

    pairs = exported(result)["equity"]

    assert len(pairs) == 30
    assert pairs[0] == ["2024-01-01T01:00:00Z", result.equity[0]]
    assert pairs[-1] == ["2024-01-02T06:00:00Z", result.equity[-1]]


def test_moments_between_seconds_keep_their_digits() -> None:
    result = make_result(3, ts=START + np.array([0, 250_000_000, 3_000_000_001]))

    times = [time for time, _ in exported(result)["equity"]]

    assert times == ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.250Z", "2024-01-01T00:00:03.000000001Z"]
    assert all(datetime.fromisoformat(time).tzinfo for time in times)


def test_the_quick_way_to_write_times_agrees_with_the_slow_one() -> None:
    result = make_result()

    assert [time for time, _ in exported(result)["equity"]] == [iso_time(ts) for ts in result.ts.tolist()]


def test_fills_data_refusals_and_notices_are_told() -> None:
    refusals = [make_refusal(), make_refusal(RefusalCode.STALE_DATA, "old"), make_refusal()]

    document = exported(make_result(refusals=refusals))

    assert document["fills"][0]["price"] == 40000.5
    assert document["fills"][0]["time"] == "2024-01-01T05:00:00Z"
    assert document["refusals"] == {"max_exposure": 2, "stale_data": 1}
    assert document["notices"][0]["code"] == "daily_loss"
    assert document["data"] == {
        "fingerprint": "f" * 64,
        "currency": "USDT",
        "instruments": [BTC, ETH],
        "timeframes": ["1h"],
        "first": "2024-01-01T00:00:00Z",
        "last": "2024-01-21T19:00:00Z",
        "bars": 1000,
    }


def test_odd_values_become_json_rather_than_nan() -> None:
    config = {"a": float("nan"), "b": Decimal("1.5"), "c": {1: (np.float64("inf"), Path("x"))}, "d": "\ud800"}

    document = exported(make_result(config=config, round_trips=[make_trip(tags=("\udcff",))]))

    assert document["config"] == {"a": None, "b": "1.5", "c": {"1": [None, "x"]}, "d": "?"}
    assert document["round_trips"][0]["tags"] == ["?"]


def test_a_run_without_bars_or_trades_is_exported_too() -> None:
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

    document = exported(result)

    assert document["metrics"]["final_equity"] == 10_000.0
    assert (document["data"]["first"], document["equity"], document["round_trips"]) == (None, [], [])


def test_a_file_appears_whole_in_new_folders_and_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"

    write_whole(path, b"old and longer")
    write_json(make_result(), path)

    assert list(json.loads(path.read_bytes())) == KEYS
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ExportError, match="no room") as caught:
        write_whole(path, b"x" * 3_000_000)

    assert isinstance(caught.value, AbidanceError)
    assert "Free at least 3 MB" in caught.value.remedy
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_is_written_to_rather_than_replaced() -> None:
    with pytest.raises(ExportError, match="no room"):
        write_whole(Path("/dev/full"), b"x")

    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is a folder") as caught:
        write_whole(tmp_path, b"x")

    assert "backtest.json" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ExportError) as caught:
        write_whole(tmp_path / "file" / "run.json", b"x")

    assert caught.value.remedy


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_bytes(b"old")
    link.symlink_to(real)

    write_whole(link, b"new")

    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_a_fill_between_bars_keeps_its_milliseconds() -> None:
    document = exported(make_result(fills=[make_fill(ts=START + HOUR + 7_000_000)]))

    assert document["fills"][0]["time"] == "2024-01-01T01:00:00.007Z"
