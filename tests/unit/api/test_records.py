"""The records of a run as people use them: notes on round trips, lists for spreadsheets, who brought what."""

import csv
import io
import shutil
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.journal.record import Record
from abidance.model.event import BalanceChanged
from abidance.model.order import Direction
from abidance.model.outcome import Notice
from tests.unit.api.conftest import CHANGE, logged_in

RUN = "/api/v1/runs/demo"


@pytest.fixture
def operator(nobody: TestClient, house: House) -> TestClient:
    return logged_in(nobody, house, "operator")


def test_a_note_is_kept_with_its_round_trip_and_found_by_its_label(
    operator: TestClient, house: House
) -> None:
    written = {"labels": ["late", "late", "news"], "note": "Entered after the move. "}

    put = operator.put(f"{RUN}/round-trips/1/note", json=written, headers=CHANGE)
    found = operator.get(f"{RUN}/round-trips", params={"label": "late"}).json()["items"]
    rows = csv_of(operator, "round-trips")
    cleared = operator.put(f"{RUN}/round-trips/1/note", json={"labels": [], "note": ""}, headers=CHANGE)

    assert put.json()["labels"] == ["late", "news"]
    assert [(each["number"], each["note"]) for each in found] == [(1, "Entered after the move.")]
    assert (rows[1]["labels"], rows[1]["note"]) == ("late news", "Entered after the move.")
    assert (cleared.json()["labels"], house.notes.of(house.runs.get("demo").replica.header.run_id)) == (
        [],
        {},
    )


@pytest.mark.parametrize(
    "body", [{"labels": ["two words"], "note": ""}, {"labels": ["x"] * 17, "note": ""}, {"note": "x"}]
)
def test_a_note_that_does_not_fit_is_refused(operator: TestClient, body: dict[str, Any]) -> None:
    assert operator.put(f"{RUN}/round-trips/0/note", json=body, headers=CHANGE).status_code == 422


def test_a_note_on_no_round_trip_or_by_a_viewer_is_refused(
    operator: TestClient, nobody: TestClient, house: House
) -> None:
    body = {"labels": [], "note": "x"}
    viewer = logged_in(nobody, house, "viewer")

    answers = [
        operator.put(f"{RUN}/round-trips/9999/note", json=body, headers=CHANGE),
        viewer.put(f"{RUN}/round-trips/0/note", json=body, headers=CHANGE),
    ]

    assert [each.status_code for each in answers] == [404, 403]


@pytest.mark.parametrize("result", ["won", "lost"])
def test_round_trips_are_filtered_by_their_result(operator: TestClient, result: str) -> None:
    everything = operator.get(f"{RUN}/round-trips").json()["items"]

    found = operator.get(f"{RUN}/round-trips", params={"result": result}).json()["items"]

    wanted = [each for each in everything if (Decimal(each["pnl"]) > 0) == (result == "won")]
    assert found == wanted
    assert len(everything) > 1


@pytest.mark.parametrize("what", ["fills", "orders", "round-trips", "ledger"])
def test_a_list_is_exported_whole_and_exact(operator: TestClient, house: House, what: str) -> None:
    replica = house.runs.get("demo").replica
    counts = {
        "fills": len(replica.fills), "orders": len(replica.sent), "ledger": len(replica.entries),
        "round-trips": len(replica.portfolio.round_trips),
    }  # fmt: skip

    rows = csv_of(operator, what)

    assert len(rows) == counts[what] > 0
    if what == "fills":
        assert [Decimal(each["price"]) for each in rows] == [each.price for each in replica.fills]
        assert rows[0]["ts"].endswith("+00:00")
    if what == "ledger":
        assert [Decimal(each["amount"]) for each in rows] == [each.amount for each in replica.entries]


def test_what_a_spreadsheet_would_run_is_marked_as_text(operator: TestClient) -> None:
    body = {"labels": [], "note": "=HYPERLINK(1)"}
    operator.put(f"{RUN}/round-trips/0/note", json=body, headers=CHANGE)

    assert csv_of(operator, "round-trips")[0]["note"] == "'=HYPERLINK(1)"


def test_contributions_add_up_to_the_round_trips(operator: TestClient, house: House) -> None:
    portfolio = house.runs.get("demo").replica.portfolio

    found = operator.get(f"{RUN}/contribution").json()

    assert sum(each["closed"] for each in found) == pytest.approx(
        float(sum(each.pnl for each in portfolio.round_trips))
    )
    assert sum(each["open"] for each in found) == pytest.approx(
        float(sum(each.pnl for each in portfolio.open_round_trips()))
    )


def test_correlations_are_those_of_the_returns(operator: TestClient, house: House) -> None:
    found = operator.get(f"{RUN}/correlation").json()

    bars = house.runs.get("demo").replica.bars
    one, other = ([bar.close for bar in bars[id, "1h"]] for id in found["instruments"][:2])
    expected = np.corrcoef(np.diff(np.log(one)), np.diff(np.log(other)))[0, 1]
    assert found["matrix"][0][1] == pytest.approx(expected)
    assert np.allclose(np.diag(np.array(found["matrix"])), 1.0)


def csv_of(client: TestClient, what: str) -> list[dict[str, str]]:
    answer = client.get(f"{RUN}/exports/{what}")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_alerts_are_what_is_more_than_news_of_every_run_newest_first(
    operator: TestClient, house: House
) -> None:
    notices = house.runs.get("demo").replica.notices
    for ts, level, code in ((1, "warning", "old"), (4, "error", "new"), (3, "info", "news")):
        notices.append(Notice(2**61 + ts * 1_000_000, level, code, "Look."))

    found = operator.get("/api/v1/alerts", params={"limit": 2}).json()["items"]
    grave = operator.get("/api/v1/alerts", params={"level": "error", "limit": 1}).json()["items"]
    every = operator.get("/api/v1/alerts", params={"level": "info", "limit": 500}).json()["items"]

    assert [(each["run"], each["code"]) for each in found] == [("demo", "new"), ("demo", "old")]
    assert [each["code"] for each in grave] == ["new"]
    assert len(every) == len(notices)
    assert operator.get("/api/v1/alerts", params={"level": "loud"}).status_code == 422


def test_notices_are_found_by_a_level_and_ledger_lines_by_a_kind_that_there_is(
    operator: TestClient, house: House
) -> None:
    replica = house.runs.get("demo").replica
    replica.notices.append(Notice(2**61, "error", "new", "Look."))

    grave = operator.get(f"{RUN}/notices", params={"level": "error"}).json()["items"]
    fees = operator.get(f"{RUN}/ledger", params={"kind": "fees", "limit": 500}).json()["items"]
    senseless = {
        name: operator.get(f"{RUN}/{path}", params={name: "nonsense"})
        for path, name in (("notices", "level"), ("ledger", "kind"))
    }

    assert [each["code"] for each in grave] == ["new"]
    assert {each["kind"] for each in fees} == {"fees"}
    for name, answer in senseless.items():
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, name)


def test_alerts_are_read_page_by_page_and_none_of_one_moment_is_missed(
    operator: TestClient, house: House
) -> None:
    notices = house.runs.get("demo").replica.notices
    for number, ts in enumerate((1, 2, 2, 2, 3, 4, 4)):
        notices.append(Notice(2**61 + ts * 1_000_000, "error", f"n{number}", "Look."))
    cursor, found = "", list[str]()

    for _ in range(20):
        wish = {"level": "error", "limit": "2", "run": "demo", "cursor": cursor}
        page = operator.get("/api/v1/alerts", params=wish).json()
        found += [each["code"] for each in page["items"]]
        if (cursor := page["next"]) is None:
            break

    assert [each for each in found if each.startswith("n")] == ["n6", "n5", "n4", "n3", "n2", "n1", "n0"]
    assert operator.get("/api/v1/alerts", params={"run": "none"}).status_code == 404


@pytest.mark.parametrize(
    "filter",
    [
        {"strategy": "EmaCross"},
        {"instrument": "BTC/USDT@BINANCE"},
        {"direction": "long"},
        {"direction": "short"},
        {"result": "won"},
        {"result": "lost"},
        {"strategy": "EmaCross", "result": "lost"},
        {"strategy": "EmaCross", "instrument": "BTC/USDT@BINANCE", "label": "none"},
    ],
    ids=str,
)
def test_round_trips_are_found_by_each_of_their_filters(
    operator: TestClient, house: House, filter: dict[str, str]
) -> None:
    trips = house.runs.get("demo").replica.portfolio.round_trips
    for pnl, direction in ((5, Direction.LONG), (-5, Direction.SHORT), (0, Direction.SHORT)):
        trips.append(msgspec.structs.replace(trips[0], pnl=Decimal(pnl), direction=direction))

    def fits(trip: dict[str, Any]) -> bool:
        told = trip | {"result": "won" if Decimal(trip["pnl"]) > 0 else "lost", "label": ""}
        return all(told[name] == value for name, value in filter.items())

    every = operator.get(f"{RUN}/round-trips", params={"limit": 500}).json()["items"]

    found = operator.get(f"{RUN}/round-trips", params={"limit": 500, **filter}).json()["items"]

    assert found == [each for each in every if fits(each)]
    assert len(found) < len(every)
    assert bool(found) == ("label" not in filter)


@pytest.mark.parametrize(
    "filter", [{"direction": "up"}, {"result": "even"}, {"strategy": "x" * 129}], ids=str
)
def test_a_filter_that_is_none_is_refused_by_its_name(operator: TestClient, filter: dict[str, str]) -> None:
    answer = operator.get(f"{RUN}/round-trips", params=filter)

    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == list(filter)


@pytest.mark.parametrize(
    ("now", "day", "week", "month"),
    [
        ("2025-05-08T12:00", "2025-05-08", "2025-05-05", "2025-05-01"),
        ("2025-05-05T00:00", "2025-05-05", "2025-05-05", "2025-05-01"),  # a Monday begins
        ("2025-05-11T23:59", "2025-05-11", "2025-05-05", "2025-05-01"),  # a Sunday ends
        ("2025-05-01T05:00", "2025-05-01", "2025-04-28", "2025-05-01"),
        ("2025-06-01T00:00", "2025-06-01", "2025-05-26", "2025-06-01"),
    ],
)
def test_profit_of_today_this_week_and_this_month_is_what_came_since_their_midnights(
    operator: TestClient, house: House, now: str, day: str, week: str, month: str
) -> None:
    replica = house.runs.get("demo").replica
    replica.state.now = int(np.datetime64(now, "ns").astype(np.int64))
    curve = operator.get(f"{RUN}/equity", params={"points": 10_000}).json()
    run = operator.get(RUN).json()

    def since(date: str) -> float:
        start = int(np.datetime64(date, "ms").astype(np.int64))
        before = [value for ts, value in zip(curve["ts"], curve["equity"], strict=True) if ts <= start]
        return float(run["equity"] - (before[-1] if before else run["start_equity"]))

    assert run["profit_today"] == pytest.approx(since(day))
    assert run["profit_week"] == pytest.approx(since(week))
    assert run["profit_month"] == pytest.approx(since(month))


STRATEGY, INSTRUMENT, ASSET = {"strategy": "Nobody"}, {"instrument": "XMR/USDT@BINANCE"}, {"asset": "XMR"}
SERIES = {"timeframe": "1h", "names": "ema 20"}


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        ("orders", STRATEGY),
        ("orders", INSTRUMENT),
        ("orders", STRATEGY | INSTRUMENT),
        ("orders/levels", INSTRUMENT),
        ("fills", STRATEGY),
        ("fills", INSTRUMENT),
        ("round-trips", STRATEGY),
        ("round-trips", INSTRUMENT),
        ("refusals", STRATEGY),
        ("ledger", ASSET),
        ("bars", INSTRUMENT),
        ("book", INSTRUMENT),
        ("indicators", INSTRUMENT),
    ],
    ids=str,
)
def test_a_filter_by_a_name_that_the_run_never_had_is_refused_at_its_field(
    operator: TestClient, path: str, unknown: dict[str, str]
) -> None:
    more = SERIES if path == "indicators" else {"timeframe": "1h"} if path == "bars" else {}

    answer = operator.get(f"{RUN}/{path}", params=more | unknown)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = {each["field"]: each["message"] for each in answer.json()["errors"]}
    assert told.keys() == unknown.keys()
    for field, name in unknown.items():
        assert name in told[field]
        assert {"strategy": "EmaCross", "instrument": "BTC/USDT@BINANCE", "asset": "USDT"}[field] in told[
            field
        ]


def test_what_was_once_traded_may_be_asked_for_though_the_run_has_it_no_more(
    operator: TestClient, house: House
) -> None:
    replica = house.runs.get("demo").replica
    replica.trips.brought["Retired", "OLD/USDT@BINANCE"] = 1.0
    external = BalanceChanged(replica.state.now, "BINANCE", "GIFT", Decimal(1), "a gift")
    replica.take([Record(replica.seq + 1, False, external)])

    for params in ({"strategy": "Retired"}, {"instrument": "OLD/USDT@BINANCE"}):
        for path in ("orders", "fills", "round-trips"):
            answer = operator.get(f"{RUN}/{path}", params=params)
            assert (answer.status_code, answer.json()["items"]) == (200, []), (path, params)
    assert operator.get(f"{RUN}/book", params={"instrument": "OLD/USDT@BINANCE"}).json()["source"] == "none"
    assert len(operator.get(f"{RUN}/ledger", params={"asset": "GIFT"}).json()["items"]) == 2


def test_a_bot_is_listed_as_soon_as_it_has_a_record_whenever_the_server_looks_by_itself(
    operator: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abidance.api.following._SCAN", 1e9)
    house.runs._scan_at = float("inf")
    shutil.copytree(house.runs.folder / "demo", house.runs.folder / "second")

    found = {each["name"]: each for each in operator.get("/api/v1/runs").json()}

    assert found.keys() == {"demo", "second"}
    assert found["second"]["start_equity"] == found["demo"]["start_equity"] > 0
