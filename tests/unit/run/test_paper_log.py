"""What a paper run writes into its log: each thing once, also over restarts."""

import json
from pathlib import Path

from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.run.config import RunConfig
from abidance.run.paper import LOG, Moment, Paper

CONFIG = RunConfig(
    instruments=("BTC/USDT@BINANCE",),
    timerange="20250301-20250401",
    strategies=(StrategyConfig(strategy="EmaCross"),),
)


def trade(folder: Path, bars: int | None = None) -> list[dict[str, object]]:
    """Run a bot for some bars, or to the end, and return what its log says then."""
    left = [bars if bars is not None else -1]

    def stop() -> bool:
        left[0] -= 1
        return left[0] == 0

    def watch(_: Moment) -> None:
        return None

    with Paper(CONFIG, Catalog(BarStore(folder / "data")), None, folder / "bot") as paper:
        paper.run(0, stop, watch)
    return [json.loads(line) for line in (folder / "bot" / LOG).read_text().splitlines()]


def test_a_run_logs_its_start_its_orders_and_its_end(tmp_path: Path) -> None:
    lines = trade(tmp_path)

    events = [line["event"] for line in lines]
    assert (events[0], events[-1]) == ("started", "stopped")
    assert events.count("command") > 10
    assert {line["run"] for line in lines} == {lines[0]["run"]}


def test_what_a_restart_repeats_is_not_logged_twice(tmp_path: Path) -> None:
    whole = trade(tmp_path / "whole")
    trade(tmp_path / "parts", bars=300)

    parts = trade(tmp_path / "parts")

    moments = [
        [line["market_time"] for line in each if line["event"] == "command"] for each in (whole, parts)
    ]
    assert moments[0] == moments[1]
    assert [line["event"] for line in parts].count("started") == 2
