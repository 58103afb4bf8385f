"""What the journal of a bot keeps of its decisions: enough to tell, from its bytes alone, what was meant to happen."""

from pathlib import Path

import pytest

from abidance.engine.config import StrategyConfig
from abidance.journal.store import read
from abidance.market.store import BarStore, Catalog
from abidance.model.command import Submit
from abidance.model.errors import JournalError
from abidance.model.event import OrderAccepted, OrderFilled
from abidance.model.outcome import Approved, Decided
from abidance.run.config import RunConfig
from abidance.run.paper import JOURNAL, Moment, Paper

CONFIG = RunConfig(
    instruments=("BTC/USDT@BINANCE",),
    timerange="20250301-20250401",
    strategies=(StrategyConfig(strategy="EmaCross"),),
)


def run(folder: Path, bars: int | None = None) -> None:
    left = [bars if bars is not None else -1]

    def stop() -> bool:
        left[0] -= 1
        return left[0] == 0

    def watch(_: Moment) -> None:
        return None

    with Paper(CONFIG, Catalog(BarStore(folder / "data")), None, folder) as paper:
        paper.run(0, stop, watch)


def test_every_order_is_on_record_before_anything_is_heard_of_it(tmp_path: Path) -> None:
    run(tmp_path)

    intended: set[str] = set()
    heard: set[str] = set()
    for record in read(tmp_path / JOURNAL).records:
        event = record.event
        if isinstance(event, Decided):
            submits = [each for each in event.commands if isinstance(each, Submit)]
            approvals = [each.request for each in event.verdicts if isinstance(each, Approved)]
            assert [each.request for each in submits] == approvals
            intended |= {each.order_id for each in submits}
        elif isinstance(event, OrderAccepted):
            heard.add(event.order_id)
            assert event.order_id in intended
        elif isinstance(event, OrderFilled):
            heard.add(event.fill.order_id)
            assert event.fill.order_id in intended
    assert len(intended) > 10
    assert heard == intended


def test_a_strategy_that_decides_otherwise_than_on_record_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, bars=300)
    monkeypatch.setattr("abidance.strategy.library.crossing.EmaCross.slow", 30)

    with pytest.raises(JournalError, match="disagree at record"):
        run(tmp_path)
