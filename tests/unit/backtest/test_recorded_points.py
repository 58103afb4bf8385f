from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from abidance.backtest.event import Recorder
from abidance.model.market import BarSlice
from abidance.model.outcome import Outcome


@dataclass
class Earner:
    """An engine whose equity a test sets."""

    equity: float = 100.0
    state: Any = field(
        default_factory=lambda: SimpleNamespace(
            portfolio=SimpleNamespace(exposure=lambda: 50.0, profit_of=lambda name: 1.0)
        )
    )


def test_of_slices_that_were_given_out_at_one_moment_the_last_counts() -> None:
    engine = Earner()
    recorder = Recorder(engine, ("one", "two"))  # type: ignore[arg-type]

    for ts, equity in ((10, 100.0), (20, 101.0), (20, 102.0), (15, 103.0), (30, 104.0)):
        engine.equity = equity
        recorder.observe(Outcome(BarSlice(ts, ())))

    assert list(recorder.ts) == [10, 20, 30]
    assert list(recorder.equity) == [100.0, 103.0, 104.0]
    assert {len(each) for each in (recorder.exposure, *recorder.profits.values())} == {3}
