"""What a paper run writes into its log: each thing once, also over restarts."""

import json
from pathlib import Path
from typing import Any

from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.run.config import RunConfig
from abidance.run.paper import LOG, Moment, Paper
from abidance.strategy.config import ExitsConfig

CONFIG = RunConfig(
    instruments=("BTC/USDT@BINANCE",),
    timerange="20250301-20250401",
    strategies=(StrategyConfig(strategy="EmaCross", exits=ExitsConfig(stop_atr=2.0, trailing_atr=3.0)),),
)


def trade(folder: Path, bars: int | None = None) -> list[dict[str, Any]]:
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


def test_a_line_says_of_each_command_what_it_is_about(tmp_path: Path) -> None:
    lines = [line for line in trade(tmp_path) if line["event"] == "command"]
    sent = {
        each["command"]["order_id"]: each["command"]["request"]
        for each in lines
        if "request" in each["command"]
    }

    kinds = {line["command"]["type"] for line in lines}
    assert kinds == {"submit", "amend", "cancel"}
    for line in lines:
        request = sent[line["command"]["order_id"]]
        about = {name: line.get(name) for name in ("strategy", "instrument", "side", "purpose")}
        assert about == {name: request[name] for name in about}
