"""Lists that are longer than a page: all of each is there, page after page, and how much there is of it."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api.app import create_app
from abidance.api.bench import Job
from abidance.api.house import House
from abidance.api.paging import LARGEST
from abidance.market.store import open_tables
from tests.trading import ID, MINUTE, START, Trading
from tests.unit.api.conftest import ORIGIN, QUICK, RULES, read_all

RUN = "/api/v1/runs/long"
MORE = LARGEST + 3
ASKED: dict[str, dict[str, Any]] = {
    "backtests": {},
    "searches": {"objectives": ["sharpe"], "sampler": None, "train_until": None},
    "verdicts": {"backtest": "one"},
    "downloads": {},
}


class Listed:
    """A user directory with the record of one bot, and an application over it that nobody has to log in to."""

    def __init__(self, folder: Path) -> None:
        self.bot = Trading(folder / "runs" / "long" / "journal.abj")
        self.house = House(folder, open_tables(folder / "data"), demo=True, passwords=QUICK)
        self.client = TestClient(create_app(self.house, RULES), ORIGIN, client=("127.0.0.1", 5))

    def read(self) -> None:
        """Read what the bot has written since."""
        read_all(self.client, self.house)

    def page(self, path: str, **query: Any) -> dict[str, Any]:
        """Return what a list answers."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return a list page by page, to its end."""
        found = [self.page(path, limit=LARGEST, **query)]
        while found[-1]["next"] is not None:
            found.append(self.page(path, limit=LARGEST, cursor=found[-1]["next"], **query))
        return found


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[Listed]:
    for noun, asked in ASKED.items():
        for number in range(MORE):
            job = Job(f"{noun}-{number}", {}, "work", "ada", 1_000 + number, "done", asked=asked)
            place = tmp_path / noun / job.id
            place.mkdir(parents=True)
            (place / "request.json").write_text(json.dumps(asdict(job)))
    made = Listed(tmp_path)
    with closing(made.bot), made.client:
        yield made


def test_every_list_of_work_holds_all_of_it_once_newest_first(listed: Listed) -> None:
    for noun in ASKED:
        pages = listed.pages(f"/api/v1/{noun}")

        found = [each["id"] for page in pages for each in page["items"]]
        assert found == [f"{noun}-{number}" for number in reversed(range(MORE))]
        assert {page["total"] for page in pages} == {MORE}
    jobs = [each["id"] for page in listed.pages("/api/v1/jobs") for each in page["items"]]
    assert len(jobs) == len({*jobs}) == MORE * len(ASKED)
    assert listed.page("/api/v1/jobs/counts") == {
        "queued": 0, "running": 0, "done": MORE * len(ASKED), "failed": 0, "cancelled": 0,
    }  # fmt: skip


def test_the_verdicts_on_one_backtest_are_found_among_all(listed: Listed) -> None:
    ours = listed.house.verdicts.get("verdicts-0")
    assert ours is not None
    ours.asked = {"backtest": "two"}

    found = listed.page("/api/v1/verdicts", backtest="two")["items"]

    assert [each["id"] for each in found] == ["verdicts-0"]


def test_all_alerts_are_told_page_by_page_and_counted(listed: Listed) -> None:
    listed.bot.tell(MORE)
    listed.bot.tell(3, "error")
    listed.read()

    pages = listed.pages("/api/v1/alerts")

    found = [each["text"] for page in pages for each in page["items"]]
    assert len(found) == MORE + 3
    assert {*found} == {f"Look, {number}." for number in range(MORE)}
    assert {page["total"] for page in pages} == {MORE + 3}
    assert listed.page("/api/v1/alerts", level="error")["total"] == 3
    assert listed.page("/api/v1/alerts", level="error", run="long", limit=1)["total"] == 3


def test_an_alert_among_a_great_many_news_is_found(listed: Listed) -> None:
    listed.bot.tell(1, "error")
    listed.bot.tell(12_000, "info")
    listed.read()

    pages = listed.pages("/api/v1/alerts")

    assert [each["level"] for page in pages for each in page["items"]] == ["error"]
    assert len(pages) > 1  # no answer may hold the server up


def test_open_orders_are_listed_to_the_first_whatever_closes_meanwhile(listed: Listed) -> None:
    listed.bot.send(MORE, stop=Decimal(90), rests=True)
    listed.read()
    path = f"{RUN}/orders"

    first = listed.page(path, is_open=True, limit=LARGEST)
    for number in (1, *range(10, MORE + 1)):
        listed.bot.fill(number, START + (MORE + number) * MINUTE)
    listed.read()
    second = listed.page(path, is_open=True, limit=LARGEST, cursor=first["next"])

    assert first["total"] == MORE
    quantities = [int(each["quantity"]) for each in first["items"] + second["items"]]
    assert quantities == [*range(MORE, 3, -1), 3, 2]  # the first has filled meanwhile
    assert (second["next"], second["total"]) == (None, 8)


def test_all_stops_that_stood_are_listed(listed: Listed) -> None:
    listed.bot.send(MORE, stop=Decimal(90), rests=True)
    listed.read()

    pages = listed.pages(f"{RUN}/orders/levels", instrument=ID)

    found = [each["order_id"] for page in pages for each in page["items"]]
    assert found == [f"{number:032x}" for number in range(MORE, 0, -1)]


def test_all_fills_of_an_instrument_are_listed(listed: Listed) -> None:
    listed.bot.send(MORE + 1)  # the first rests
    listed.read()

    found = [
        int(each["quantity"])
        for page in listed.pages(f"{RUN}/fills", instrument=ID)
        for each in page["items"]
    ]

    assert found == [*range(MORE + 1, 1, -1)]
