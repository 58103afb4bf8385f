"""What a read costs, counted and not timed: looks into the store of older rows, and messages for what happens once."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from abidance.api import paging
from abidance.api.house import House
from abidance.journal.record import Record
from abidance.model.command import Submit
from abidance.model.event import BalanceChanged, OrderAccepted, OrderFilled
from abidance.model.order import Fill, OrderRequest, Purpose, Side
from abidance.model.outcome import Approved, Decided, Recorded
from abidance.portfolio.ledger import fill_ref
from abidance.run.replica import Replica
from abidance.run.shelf import Shelf
from tests.unit.api.conftest import ORIGIN, logged_in
from tests.unit.api.test_schema import QUERIES, filled

BTC, NAME, MINUTE = "BTC/USDT@BINANCE", "EmaCross", 60 * 10**9
WHOLE = "/api/v1/runs/{run}/exports/"
"""What gives whole lists, whose looks grow with them."""
MOST, HALVES = 40, 3
"""Looks into the store that any answer may cost; what a search by halves takes more for eight times as much."""


def traded(count: int, start: int) -> Iterator[Recorded]:
    """Yield what a bot does that buys and sells by turns so many times, at market."""
    yield BalanceChanged(start, "BINANCE", "USDT", Decimal(10**6), "opening")
    for number in range(count):
        now, side = start + number * MINUTE, Side.SELL if number % 2 else Side.BUY
        purpose = Purpose.SIGNAL if number % 2 else Purpose.ENTRY
        wish = OrderRequest(NAME, BTC, side, Decimal(1), purpose=purpose, decision_price=Decimal(100))
        submit = Submit(f"{number:032x}", wish, now)
        yield Decided(now, (wish,), (Approved(wish),), (submit,), ())
        yield OrderAccepted(now, submit.order_id)
        fee = Decimal("0.1")
        yield OrderFilled(
            now,
            Fill(str(number), submit.order_id, BTC, NAME, side, Decimal(1), Decimal(100), fee, "USDT", now),
        )


def looks(viewer: TestClient, house: House, paths: list[str], count: int) -> dict[str, int]:
    """Return how often each path looks into the store of a run that has traded so many times."""
    run = house.runs.get("demo")
    run._is_lost = True  # what it takes is taken here
    run.replica.close()
    shelf = Shelf(window=64, block=16)
    replica = run.replica = Replica(run.replica.header, shelf)
    replica.take(Record(seq, False, event) for seq, event in enumerate(traded(count, 10**18), 1))
    names = {"run": "demo", "order_id": replica.sent[0].id, "name": NAME, "ref": fill_ref(replica.fills[0])}
    asked: list[str] = []
    shelf.open().set_trace_callback(asked.append)
    found = {}
    for path in paths:
        asked.clear()
        answer = viewer.get(path.format(**names), params=filled(QUERIES.get(path, {}), names))
        assert answer.status_code == 200, (path, answer.text)
        found[path] = len(asked)
    shelf.open().set_trace_callback(None)
    return found


def test_no_read_looks_into_the_store_more_often_the_more_was_traded(
    app: FastAPI, nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "LOOKED_AT", 200)
    viewer = logged_in(nobody, house, "viewer")
    paths = [
        path
        for path, operations in app.openapi()["paths"].items()
        if path.startswith("/api/v1/runs") and "get" in operations and not path.startswith(WHOLE)
    ]

    few, many = (looks(viewer, house, paths, count) for count in (400, 3_200))

    assert len(paths) > 20
    assert {path: (few[path], many[path]) for path in paths if many[path] > few[path] + HALVES} == {}
    assert max(many.values()) <= MOST
    assert many["/api/v1/runs/{run}/orders/{order_id}"] > 0, "nothing lies in the store"


def test_what_happens_at_once_is_told_in_one_message_and_valued_in_one_more(
    nobody: TestClient, house: House
) -> None:
    viewer, replica = logged_in(nobody, house, "viewer"), house.runs.get("demo").replica
    assert nobody.portal is not None

    def happen() -> None:
        events = list(traded(5, replica.state.now + MINUTE))[1:]
        replica.take(Record(replica.seq + 1, False, each) for each in events)

    with viewer.websocket_connect("wss://localhost/api/v1/stream", headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", "run": "demo", "since": None})
        while socket.receive_json()["type"] != "prices":
            pass
        count = replica.count
        nobody.portal.call(happen)
        told, beats = [], 0
        while beats < 3:
            message = socket.receive_json()
            beats += message["type"] == "beat"
            told += [message] if message["type"] not in ("beat", "running") else []

    changes = [each["items"] for each in told if each["type"] == "changes"]
    assert [len(items) for items in changes] == [replica.count - count]
    assert replica.count - count >= 20
    assert sum(each["type"] == "prices" for each in told) == 1
    assert len(told) == 2
