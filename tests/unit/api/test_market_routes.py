"""What stands beside the candles: books as the run saw them, and indicators as strategies compute them."""

import threading
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.api.routes import market
from abidance.indicators.trend import ema
from abidance.market.bars import Bars
from abidance.model.market import BookSnapshot, DataKind, FeedState, FeedStatus, Quote
from tests.unit.api.conftest import logged_in

BTC = "BTC/USDT@BINANCE"
BOOK = "/api/v1/runs/demo/book"


@pytest.fixture
def viewer(nobody: TestClient, house: House) -> TestClient:
    return logged_in(nobody, house, "viewer")


def test_a_book_is_shown_as_the_run_saw_it_with_its_certificate(viewer: TestClient, house: House) -> None:
    replica = house.runs.get("demo").replica
    now = replica.state.now
    empty = viewer.get(BOOK, params={"instrument": BTC}).json()
    replica._handle(Quote(now, BTC, 99.0, 1.0, 101.0, 2.0))
    quoted = viewer.get(BOOK, params={"instrument": BTC}).json()
    replica._handle(FeedStatus(now, BTC, DataKind.BOOK, FeedState.STALE, "nothing for 3 s"))
    replica._handle(BookSnapshot(now, BTC, ((100.0, 2.0), (99.5, 1.0)), ((100.5, 3.0),)))

    whole = viewer.get(BOOK, params={"instrument": BTC, "levels": 1}).json()

    assert (empty["source"], empty["ts"], empty["bids"]) == ("none", None, [])
    assert (quoted["source"], quoted["asks"]) == ("quote", [[101.0, 2.0]])
    assert (whole["source"], whole["bids"], whole["asks"]) == ("book", [[100.0, 2.0]], [[100.5, 3.0]])
    assert (whole["is_certified"], whole["reason"]) == (False, "nothing for 3 s")
    assert viewer.get(BOOK, params={"instrument": "X/Y@Z"}).status_code == 422


def test_indicators_are_those_that_strategies_see(viewer: TestClient) -> None:
    query: dict[str, str | int] = {"instrument": BTC, "timeframe": "1h", "limit": 50}
    bars = viewer.get("/api/v1/runs/demo/bars", params=query | {"limit": 1000}).json()

    found = viewer.get(
        "/api/v1/runs/demo/indicators", params=query | {"names": "ema 20,bollinger 30,donchian 10"}
    ).json()

    lines = {each["label"]: each["values"] for each in found["lines"]}
    assert list(lines) == [
        "ema 20", "bollinger 30 upper", "bollinger 30 middle", "bollinger 30 lower", "donchian 10 upper", "donchian 10 lower",
    ]  # fmt: skip
    assert found["ts"] == bars["ts"][-50:]
    np.testing.assert_allclose(lines["ema 20"], ema(np.array(bars["close"]), 20)[-50:], rtol=1e-3)
    assert lines["donchian 10 upper"][-1] == max(bars["high"][-10:])
    assert None not in lines["bollinger 30 lower"]


@pytest.mark.parametrize("names", ["", "ema", "ema 1", "magic 20", "ema 20;ema 30", "ema 1000"])
def test_an_indicator_that_is_none_is_refused(viewer: TestClient, names: str) -> None:
    query = {"instrument": BTC, "timeframe": "1h", "names": names}

    assert viewer.get("/api/v1/runs/demo/indicators", params=query).status_code == 422


def test_levels_tell_where_each_stop_stood_and_where_it_was_moved(viewer: TestClient, house: House) -> None:
    orders = viewer.get("/api/v1/runs/demo/orders", params={"limit": 500}).json()["items"]
    stops = [each for each in orders if each["purpose"] in ("stop_loss", "trailing_stop")]
    instrument = max(
        (each["instrument"] for each in stops), key=lambda id: sum(e["instrument"] == id for e in stops)
    )
    query = {"instrument": instrument, "limit": 500}

    found = viewer.get("/api/v1/runs/demo/orders/levels", params=query).json()["items"]

    known = {each["id"]: each for each in stops if each["instrument"] == instrument}
    assert {each["order_id"] for each in found} == set(known)
    assert any(len(each["prices"]) > 1 for each in found)  # a trailing stop was moved
    for each in found:
        order = known[each["order_id"]]
        assert each["ts"] == sorted(each["ts"])
        assert each["ts"][0] == order["ts"]
        assert each["prices"][-1] == order["trigger"]
        assert (each["until"] is None) == order["is_open"]


def test_the_newest_bars_of_the_store_are_those_at_its_end(viewer: TestClient, house: House) -> None:
    ts = np.arange(6_000, dtype=np.int64) * 3_600 * 10**9
    price = np.arange(6_000, dtype=np.float64) + 1.0
    house.catalog.store.write(Bars("NEW/USDT@BINANCE", "1h", ts, [price] * 5))

    few = viewer.get("/api/v1/bars?instrument=NEW/USDT@BINANCE&timeframe=1h&limit=3").json()
    early = viewer.get("/api/v1/bars?instrument=NEW/USDT@BINANCE&timeframe=1h&limit=3&end=7200000").json()

    assert few["ts"] == [each * 3_600_000 for each in (5_997, 5_998, 5_999)]
    assert few["close"] == [5_998.0, 5_999.0, 6_000.0]
    assert early["close"] == [1.0, 2.0]


@pytest.mark.parametrize("path", ["/api/v1/bars", "/api/v1/runs/demo/bars", "/api/v1/runs/demo/indicators"])
def test_thousands_of_bars_hold_nobody_up(
    viewer: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """They are turned into rows and into text by a thread that reads, not by the loop that answers everybody."""
    threads: list[str] = []

    def noting(*given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return shown(*given)

    shown = market._shown
    monkeypatch.setattr(market, "_shown", noting)

    found = viewer.get(path, params={"instrument": BTC, "timeframe": "1h", "names": "ema 20"})

    assert len(found.json()["ts"]) == 1_000
    assert threads
    assert all(each.startswith("read") for each in threads), threads
