"""Lists of some days in a real browser: picked in fields, kept by the address, saved as a file."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.dashboard import House, Visitor, barriers, browser, playwright, pytestmark, shot
from tests.trading import MINUTE, START, Trading

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
SENT = 4_000
"""Orders, one a minute from 2020-09-13 12:26 on: their days are four."""
DAY, NEXT = "2020-09-14", "2020-09-15"
OF_DAY = 24 * 60


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which a bot traded and wrote a log for four days."""
    folder = tmp_path_factory.mktemp("days")
    run = folder / "abidance" / "runs" / "long"
    with closing(Trading(run / "journal.abj")) as bot:
        bot.send(SENT)
        lines = [
            {"event": f"minute{n}", "level": "info", "timestamp": stamp(n).isoformat()}
            for n in range(1, SENT, 10)
        ]
        (run / "bot.log").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
        with House(folder, demo=True) as house:
            yield house


def stamp(number: int) -> datetime:
    """Return when an order was sent."""
    return datetime.fromtimestamp((START + number * MINUTE) / 1e9, UTC)


def shown_days(table: Any) -> set[str]:
    """Return the days of the rows that are drawn."""
    return {each[:10] for each in table.locator(".table-row time").all_inner_texts()}


@pytest.mark.parametrize(
    ("screen", "name", "what"),
    [
        ("orders", "All orders", "orders"),
        ("orders?list=fills", "Fills", "fills"),
        ("portfolio", "Ledger", "ledger"),
    ],
)
def test_a_list_shows_the_days_that_are_picked_and_so_does_its_file_after_a_reload(
    browser: Any, days: House, tmp_path: Path, screen: str, name: str, what: str
) -> None:
    visitor = Visitor(browser, days.address, accept_downloads=True)
    page = visitor.go(f"/{screen}")
    table = page.get_by_role("table", name=name, exact=True)
    table.get_by_text("2020-09-16").first.wait_for()

    page.get_by_label("From, UTC").fill(DAY)
    page.get_by_label("To, UTC").fill(DAY)

    table.get_by_text(f"{DAY} 23:59").first.wait_for()
    assert shown_days(table) == {DAY}
    assert f"from={DAY}&to={DAY}" in page.url
    page.reload()
    table.get_by_text(f"{DAY} 23:59").first.wait_for()
    assert shown_days(table) == {DAY}
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save as CSV").click()
    saving.value.save_as(tmp_path / "list.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "list.csv").read_text())))
    assert {each["ts"][:10] for each in rows} == {DAY}
    assert len({each.get("id") or each["ref"] for each in rows}) == OF_DAY
    table.evaluate("each => { each.scrollTop = each.scrollHeight }")
    playwright.expect(table).not_to_have_attribute("aria-rowcount", "201")  # read on, and still of that day
    assert shown_days(table) == {DAY}
    assert visitor.faults == []
    assert barriers(page) == []
    shot(page, f"period-{what}")
    visitor.close()


def test_named_days_are_those_of_the_bots_own_time_and_all_are_shown_again(browser: Any, days: House) -> None:
    visitor = Visitor(browser, days.address)
    page = visitor.go("/orders")
    table = page.get_by_role("table", name="All orders")
    period = page.get_by_role("combobox", name="Period")
    table.get_by_text("2020-09-16").first.wait_for()

    period.click()
    page.get_by_role("option", name="Today").click()

    playwright.expect(page.get_by_label("From, UTC")).to_have_value("2020-09-16")
    playwright.expect(period).to_have_value("Today")
    table.evaluate("each => { each.scrollTop = each.scrollHeight }")
    playwright.expect(table).not_to_have_attribute("aria-rowcount", "201")
    assert shown_days(table) == {"2020-09-16"}
    period.click()
    page.get_by_role("option", name="All", exact=True).click()
    playwright.expect(page).to_have_url(re.compile("/orders$"))
    playwright.expect(page.get_by_label("From, UTC")).to_have_value("")
    visitor.close()


def test_days_that_end_before_they_begin_are_told_at_their_field_and_an_empty_list_says_so(
    browser: Any, days: House
) -> None:
    visitor = Visitor(browser, days.address)
    page = visitor.go(f"/portfolio?from={NEXT}&to={DAY}")

    page.get_by_text("The start lies behind the end.").wait_for()
    page.get_by_label("To, UTC").fill("2020-12-31")
    page.get_by_label("From, UTC").fill("2020-12-01")

    page.get_by_text("No line fits. Take a filter away.").wait_for()
    assert page.get_by_text("The start lies behind the end.").count() == 0
    visitor.close()


def test_round_trips_keep_their_filters_in_the_address(browser: Any, days: House) -> None:
    visitor = Visitor(browser, days.address)
    page = visitor.go(f"/round-trips?direction=long&label=late&from={DAY}")

    playwright.expect(page.get_by_role("combobox", name="Side")).to_have_value("long")
    playwright.expect(page.get_by_label("Label")).to_have_value("late")
    page.get_by_label("Label").fill("early")
    playwright.expect(page).to_have_url(re.compile("label=early"))
    playwright.expect(page.get_by_label("From, UTC")).to_have_value(DAY)
    link = page.get_by_role("link", name="Save as CSV").get_attribute("href")
    assert {"direction=long", "label=early", "start=1600041600000"} <= {*link.partition("?")[2].split("&")}
    assert visitor.faults == []
    visitor.close()


def test_a_log_shows_and_saves_the_lines_of_the_days_that_are_picked(
    browser: Any, days: House, tmp_path: Path
) -> None:
    visitor = Visitor(browser, days.address, accept_downloads=True)
    page = visitor.go("/logs")
    table = page.get_by_role("table", name="Log")
    table.get_by_text("2020-09-16").first.wait_for()

    page.get_by_label("From, UTC").fill(DAY)
    page.get_by_label("To, UTC").fill(DAY)
    page.get_by_label("Contains").fill("minute1")

    playwright.expect(page).to_have_url(re.compile("contains=minute1"))
    expected = [n for n in range(1, SENT, 10) if stamp(n).date().isoformat() == DAY and str(n)[0] == "1"]
    playwright.expect(table).to_have_attribute("aria-rowcount", str(len(expected) + 1))
    assert shown_days(table) == {DAY}
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save as CSV").click()
    saving.value.save_as(tmp_path / "log.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "log.csv").read_text())))
    assert [each["event"] for each in rows] == [f"minute{n}" for n in expected]
    shot(page, "period-logs")
    assert visitor.faults == []
    visitor.close()
