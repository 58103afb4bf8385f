"""The benchmark of the live path, short: what it promises about events holds at any length."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "live_engine.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("live_engine", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["live_engine"] = module  # the venue's process finds its function by this name
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_under_load_no_account_event_is_lost_and_every_trade_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    script = load()

    found = script.measure(seconds=6.0, rate=3_000.0, warm_up=2.0)

    assert found["account_events_lost"] == 0
    assert found["fills"] >= 1
    assert found["heard"]["trades"] >= 0.19 * found["sent"]
    assert found["doubted"] == {}
