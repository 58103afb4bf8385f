"""The benchmark of the live path, short: what it promises about events holds at any length."""

import pytest

from tests.benchmark import FOLDER, load_benchmark


@pytest.mark.slow
def test_under_load_no_account_event_is_lost_and_every_trade_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    script = load_benchmark("live_engine")

    found = script.measure(seconds=6.0, rate=3_000.0, warm_up=2.0)

    assert found["account_events_lost"] == 0
    assert found["fills"] >= 1
    assert found["heard"]["trades"] >= 0.19 * found["sent"]
    assert found["doubted"] == {}
