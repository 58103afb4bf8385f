"""Lists of a period: orders, fills, closed round trips, the ledger and logs, as pages and as CSV."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api import logbook, paging
from abidance.api.house import SERVED, House
from tests.trading import MINUTE, START
from tests.unit.api.conftest import logged_in
from tests.unit.api.test_lists import RUN, Listed

DEMO = "/api/v1/runs/demo"
MOMENT = {"orders": "ts", "fills": "ts", "round-trips": "ts_exit", "ledger": "ts"}


@pytest.fixture
def viewer(nobody: TestClient, house: House) -> TestClient:
    return logged_in(nobody, house, "viewer")


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[Listed]:
    made = Listed(tmp_path)
    with closing(made.bot), made.client:
        yield made


def every(client: TestClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return a list to its end, in short pages."""
    cursor, found = "", list[dict[str, Any]]()
    while True:
        answer = client.get(path, params={"limit": 3, "cursor": cursor, **query})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next"] is None:
            return found
        assert int(page["next"]) < int(cursor or 2**62)
        cursor = page["next"]


def csv_of(client: TestClient, what: str, **query: Any) -> list[dict[str, str]]:
    """Return the rows of a file."""
    answer = client.get(f"{DEMO}/exports/{what}", params=query)
    assert answer.headers["content-type"].startswith("text/csv"), answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("what", MOMENT)
def test_a_period_holds_what_lies_in_it_from_its_start_on_and_before_its_end(
    viewer: TestClient, what: str
) -> None:
    path, moment = f"{DEMO}/{what}", MOMENT[what]
    whole = every(viewer, path)
    stamps = sorted({each[moment] for each in whole})
    start, end = stamps[len(stamps) // 3], stamps[-1]
    assert start < end

    for query in ({"start": start, "end": end}, {"start": start}, {"end": end}, {"start": end, "end": end}):
        expected = [each for each in whole if query.get("start", 0) <= each[moment] < query.get("end", 2**62)]
        assert every(viewer, path, **query) == expected
    assert every(viewer, path, end=stamps[0]) == every(viewer, path, start=stamps[-1] + 1) == []


@pytest.mark.parametrize("what", MOMENT)
def test_a_file_holds_what_the_list_shows_of_a_period_oldest_first(viewer: TestClient, what: str) -> None:
    whole = every(viewer, f"{DEMO}/{what}")
    middle = whole[len(whole) // 2]
    field = {"orders": "strategy", "fills": "instrument", "round-trips": "instrument", "ledger": "kind"}[what]
    wish = {"start": middle[MOMENT[what]], field: middle[field]}

    shown = every(viewer, f"{DEMO}/{what}", **wish)
    rows = csv_of(viewer, what, **wish)

    assert 0 < len(rows) < len(whole)
    told = [datetime.fromisoformat(each[MOMENT[what]]).astimezone(UTC).timestamp() * 1_000 for each in rows]
    assert told == pytest.approx([each[MOMENT[what]] for each in reversed(shown)])
    assert {each[field] for each in rows} == {middle[field]}


@pytest.mark.parametrize("what", [*MOMENT, *(f"exports/{each}" for each in MOMENT)])
def test_a_period_that_ends_before_it_begins_is_told_at_its_field(viewer: TestClient, what: str) -> None:
    answer = viewer.get(f"{DEMO}/{what}", params={"start": 2, "end": 1})

    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["start"]


def test_a_fill_that_came_late_stands_in_the_period_in_which_it_was_made(listed: Listed) -> None:
    listed.bot.send(10_000)  # the first rests
    listed.bot.fill(1, START + 50 * MINUTE)
    listed.read()
    first, last = ((START + minute * MINUTE) // 1_000_000 for minute in (49, 52))

    found = listed.pages(f"{RUN}/fills", start=first, end=last)

    quantities = [int(each["quantity"]) for page in found for each in page["items"]]
    assert quantities == [1, 51, 50, 49]  # as they came, the newest first


def test_a_day_of_long_ago_is_a_page_and_needs_no_look_at_what_came_since(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "LOOKED_AT", 700)  # less than came since
    listed.bot.send(10_000)
    listed.read()
    first, last = ((START + minute * MINUTE) // 1_000_000 for minute in (100, 200))

    page = listed.page(f"{RUN}/fills", start=first, end=last, limit=100)

    assert [int(each["quantity"]) for each in page["items"]] == [*range(199, 99, -1)]


# --- logs

SECOND, FIRST = 1_000, 1_700_000_000_000
"""Milliseconds from a line of a log to the next, and when the first was written."""


def logged(path: Path, numbers: range, padding: int = 0) -> None:
    """Write a line a second; some tell no moment, and some come a line too late, as those of threads do."""
    lines = []
    for n in numbers:
        stamp = datetime.fromtimestamp((FIRST + n * SECOND) / 1_000, UTC).isoformat()
        told = {
            "event": f"event{n}",
            "level": "error" if n % 10 == 0 else "info",
            "n": n,
            "room": "." * padding,
        }
        lines.append(json.dumps(told if n % 17 == 5 else told | {"timestamp": stamp}))
    for at in range(3, len(lines), 29):
        lines[at - 1], lines[at] = lines[at], lines[at - 1]
    path.write_text("".join(f"{each}\n" for each in lines))


def asked(client: TestClient, **query: Any) -> tuple[list[int], int]:
    """Return which lines of the bot's log a period holds, oldest first, and of how many pages they came."""
    found, pages, place = [], 0, {"cursor": "", "file": ""}
    while True:
        page = client.get(f"{DEMO}/logs", params={"limit": 7, **query, **place}).json()
        found += [each["data"]["n"] for each in page["items"]]
        pages += 1
        if page["next"] is None:
            return found[::-1], pages
        place = {"cursor": page["next"], "file": page["file"]}


@pytest.mark.parametrize("padding", [0, 4_000])
def test_lines_of_a_period_are_found_in_a_log_wherever_they_lie(
    viewer: TestClient, house: House, monkeypatch: pytest.MonkeyPatch, padding: int
) -> None:
    monkeypatch.setattr(logbook, "_NEAR", 2 * padding + 400)
    logged(house.runs.folder / "demo" / "bot.log", range(600), padding)
    timely = [n for n in range(600) if n % 17 != 5]

    for first, last in ((0, 600), (100, 131), (299, 300), (595, 700), (-5, 3), (700, 800), (40, 40)):
        start, end = (FIRST + each * SECOND for each in (first, last))
        found, pages = asked(viewer, start=start, end=end)
        assert sorted(found) == [n for n in timely if first <= n < last]
        assert pages <= len(found) // 7 + 2
        grave, _ = asked(viewer, start=start, end=end, level="error")
        assert grave == [n for n in timely if first <= n < last and n % 10 == 0]
    assert sorted(asked(viewer, start=FIRST + 590 * SECOND)[0]) == [n for n in timely if n >= 590]


def test_a_period_that_was_over_when_a_log_began_is_read_in_the_one_before(
    viewer: TestClient, house: House
) -> None:
    folder = house.runs.folder / "demo"
    logged(folder / "bot.log.1", range(100))
    logged(folder / "bot.log", range(100, 200))

    found, _ = asked(viewer, start=FIRST + 20 * SECOND, end=FIRST + 24 * SECOND)
    both = csv_of(viewer, "logs", start=FIRST + 95 * SECOND, end=FIRST + 110 * SECOND, level="error")

    assert sorted(found) == [20, 21, 23]
    assert [each["event"] for each in both] == ["event100"]
    whole = csv_of(viewer, "logs")
    assert sorted(json.loads(each["data"])["n"] for each in whole) == [*range(200)]
    assert whole[0]["ts"] == "2023-11-14T22:13:20.000+00:00"


def test_the_servers_log_is_a_file_for_admins(nobody: TestClient, house: House) -> None:
    logged(house.userdir / SERVED, range(30))

    refused = logged_in(nobody, house, "operator").get("/api/v1/exports/logs")
    rows = logged_in(nobody, house, "admin").get("/api/v1/exports/logs", params={"contains": "event7"})

    assert refused.status_code == 403
    assert [each["event"] for each in csv.DictReader(io.StringIO(rows.text))] == ["event7"]
