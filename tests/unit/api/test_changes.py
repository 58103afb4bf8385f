"""What the dashboard asks again after a change (`web/src/client/about.json`), held against what routes then answer."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from msgspec.structs import replace
from starlette.testclient import TestClient

from abidance.api.following import Followed
from abidance.api.house import House
from abidance.api.stream import told
from abidance.api.worth import price_ts, prices, worth
from abidance.journal.record import Record
from abidance.journal.store import Follower
from abidance.model.command import Submit
from abidance.model.event import (
    BalanceChanged,
    CircuitMoved,
    CircuitState,
    Control,
    ControlAction,
    DebtChanged,
    FundingPaid,
    Part,
    VenueStatus,
)
from abidance.model.market import DataKind, FeedState, FeedStatus, Trade
from abidance.model.order import OrderRequest, Side
from abidance.model.outcome import Decided, Notice, Recorded, RefusalCode, Refused
from abidance.portfolio.ledger import fill_ref
from abidance.run.replica import Replica
from tests.unit.api.conftest import logged_in

ABOUT: dict[str, list[str]] = json.loads(
    (Path(__file__).parents[3] / "web/src/client/about.json").read_text()
)
BTC = "BTC/USDT@BINANCE"
RECORDS, EACH = 330, 13
"""Records that are taken, and one in so many bars whose end is held against all routes."""
POLLED = {"now", "seq", "changes", "fills", "is_current"}
"""What of a run the dashboard asks for every other second in any case."""
QUERIES = {
    "alerts": {"level": "info"},
    "{run}/bars": {"instrument": BTC, "timeframe": "1h"},
    "{run}/book": {"instrument": BTC},
    "{run}/indicators": {"instrument": BTC, "timeframe": "1h", "names": "ema 20"},
    "{run}/orders/levels": {"instrument": BTC},
}
VALUED = {
    "{run}/positions": "positions",
    "{run}/balances": "balances",
    "{run}/strategies": "strategies",
    "{run}/contribution": "contribution",
    "{run}/round-trips/open": "round_trips",
}
"""Lists of which the stream's `worth` tells parts, by its names."""


def test_what_is_asked_again_is_named_by_routes_that_there_are(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    routes = {path for path, found in paths.items() if "get" in found}

    assert {_path(route) for route in ABOUT} <= routes


class Run:
    """A run whose records are taken one by one; what a screen shows of it is what routes and the stream tell."""

    def __init__(self, viewer: TestClient, found: Followed) -> None:
        self._viewer, self._found = viewer, found
        found._is_lost = True  # it reads nothing by itself any more
        self.replica = found.replica = Replica(found.replica.header)
        self.stale: set[tuple[str, str]] = set()
        self.moved: set[str] = set()

    def take(self, *records: Record) -> None:
        """Take records, and note which answers became others, and which of these would not be asked for again."""
        before, count = self._answers(), self.replica.count
        self.replica.take(records)
        kinds = {told(self.replica, each.what)[0] for each in self.replica.since(count) or ()}
        after = self._answers()
        others = {route for route, answer in before.items() if answer != after[route]}
        self.moved |= others
        self.stale |= {
            (route, type(records[-1].event).__name__) for route in others if not kinds & {*ABOUT[route]}
        }

    def _answers(self) -> dict[str, Any]:
        order = next((each.id for each in self.replica.sent), None)
        ref = next((fill_ref(each) for each in self.replica.fills), None)
        found: dict[str, Any] = {}
        for route in ABOUT:
            if ("order_id" in route and order is None) or (route == "{run}/why" and ref is None):
                continue
            path = _path(route).format(run="demo", order_id=order, name="EmaCross")
            query = QUERIES.get(route, {}) if route != "{run}/why" else {"ref": ref}
            answer = self._viewer.get(path, params=query)
            assert answer.status_code == 200, answer.text
            found[route] = self._less(route, answer.json())
        return found

    def _less(self, route: str, answer: Any) -> Any:
        """Return an answer without what the stream tells whole, or what is asked for all the time."""
        value = worth(self._found)
        if route == "":
            return [_without(each, {*value["run"], *POLLED} - {"standing"}) for each in answer]
        if route == "{run}/risk":
            usage = [each["name"] for each in answer["usage"]]
            return _without(answer, {"standing", "strategies"}) | {"usage": usage}
        if route == "{run}/instruments":
            known = [each for each in answer if each["price"]]
            assert {each["id"]: each["price"] for each in known} == prices(self.replica)
            assert {each["id"]: each["price_ts"] for each in known} == price_ts(self.replica)
            return [_without(each, {"price", "price_ts"}) for each in answer]
        if (rows := value.get(VALUED.get(route, ""))) is not None:
            keys = {"strategy", "instrument", "venue", "asset", "name"}
            return [_without(each, {*rows[0]} - keys if rows else set()) for each in answer]
        return answer


def _path(route: str) -> str:
    return "/api/v1/alerts" if route == "alerts" else f"/api/v1/runs/{route}".rstrip("/")


def _without(answer: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


@pytest.mark.timeout(300)
def test_an_answer_changes_only_with_changes_after_which_it_is_asked_for_again(
    nobody: TestClient, house: House
) -> None:
    found = house.runs.get("demo")
    follower = Follower(found.folder / "journal.abj")
    records = follower.read(RECORDS)
    follower.close()
    run = Run(logged_in(nobody, house, "viewer"), found)

    asked: list[Record] = []
    for record in records:
        event = record.event
        if record.deferred or (event is None and record.seq % EACH):
            run.replica.take([*asked, record])
            asked = []
        elif isinstance(event, Decided) and not any(isinstance(each, Submit) for each in event.commands):
            asked.append(record)  # what it asks of an order shows with the answer
        else:
            run.take(*asked, record)
            asked = []
    assert run.replica.portfolio.open_positions(), "nothing is held that prices could move"
    for made in _more(run.replica):
        run.take(Record(run.replica.seq + 1, False, made(run.replica.state.now + 1_000_000)))

    assert run.stale == set()
    assert {route for route, kinds in ABOUT.items() if kinds} == run.moved


def _more(replica: Replica) -> Iterator[Callable[[int], Recorded]]:
    """Yield what did not happen to the recorded run."""
    name = "EmaCross"
    wish = OrderRequest(name, BTC, Side.BUY, Decimal(1), decision_price=Decimal(100))
    refused = Refused(wish, RefusalCode.MAX_EXPOSURE, "too much")
    yield lambda now: Trade(now, BTC, 120_000.0, 1.0, buyer_is_taker=True)
    yield lambda now: Decided(now, (wish,), (refused,), (), ())
    yield lambda now: FeedStatus(now, BTC, DataKind.TRADES, FeedState.GAP, "gap")
    yield lambda now: VenueStatus(now, "BINANCE", ("not compared",))
    yield lambda now: CircuitMoved(now, "BINANCE", Part.REQUESTS, CircuitState.OPEN, "slow")
    yield lambda now: BalanceChanged(now, "BINANCE", "USDT", Decimal(500), "deposit")
    yield lambda now: BalanceChanged(now, "BINANCE", "BNB", Decimal(5), "his own", is_owners=True)
    yield lambda now: DebtChanged(now, "BINANCE", "USDT", Decimal(50), Decimal(50), "loan", "l1", "l1")
    yield lambda now: FundingPaid(now, BTC, name, Decimal(-3), "USDT")
    orders: tuple[tuple[ControlAction, str, dict[str, float | int | str | bool]], ...] = (
        (ControlAction.PAUSE_ENTRIES, name, {}),
        (ControlAction.STOP, name, {}),
        (ControlAction.SET_PARAMETERS, name, {"fast": 7}),
        (ControlAction.SET_ALLOCATION, name, {"allocation": 0.3}),
        (ControlAction.SET_LIMITS, "", {"max_positions": 3}),
        (ControlAction.SET_BREAKERS, "", {"max_drawdown": 0.01}),
        (ControlAction.KILL, "", {}),
        (ControlAction.RELEASE, "", {}),
    )
    for action, strategy, values in orders:
        yield lambda now, of=(action, strategy, "ada", values): Control(now, *of)  # type: ignore[misc]
    yield lambda now: Control(now, ControlAction.SET_PARAMETERS, name, "ada", {"fast": 9})
    bare = Notice(0, "info", "protected", f"{BTC} was without its whole stop for 0.250 s.", name)
    yield lambda now: Decided(now, (), (), (), (replace(bare, ts=now),))
    for code in ("parameters_refused", "strategy_failed"):
        yield lambda now, of=code: Decided(  # type: ignore[misc]
            now, (), (), (), (Notice(now, "error", of, "It failed.", name),)
        )
