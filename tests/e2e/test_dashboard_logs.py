"""Logs in a real browser: as they are written, over a lost connection, back to the first line, and the server's own."""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.dashboard import House, Visitor, barriers, browser, entered, playwright, pytestmark, shot, told
from tests.e2e.program import RUN
from tests.unit.venues.keyed_venue import KEY, SECRET, KeyedVenue, on_loopback

__all__ = ["browser", "pytestmark"]  # fixtures, and what all tests of the dashboard need
VAULT = "words that open the vault"
DEEP = """place => {
    place.scrollTop = place.scrollHeight;
    return Number(place.getAttribute('aria-rowcount'));
}"""
"""Scrolls a table to its end and returns how many rows it has, its head among them."""


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[House]:
    """A house whose bot has ended: nobody but the test writes into its log."""
    with House(tmp_path, demo=True) as made:
        done = made.program("trade", *RUN, "--set", "name=bot", "--speed", "0", "--plain")
        assert done.code == 0, done.err
        yield made


def log_of(house: House) -> Path:
    return house.program.userdir / "runs" / "bot" / "bot.log"


def write(path: Path, numbers: Iterable[int]) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with path.open("a") as file:
        for n in numbers:
            file.write(
                json.dumps({"event": f"planted_{n}", "level": "info", "timestamp": moment, "n": n}) + "\n"
            )


def lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def rows(page: Any, count: int) -> None:
    """Wait until the table of the log has so many lines."""
    table = page.get_by_role("table", name="Log")
    playwright.expect(table).to_have_attribute("aria-rowcount", str(count + 1))


def test_lines_come_as_they_are_written_and_nothing_is_asked_for(browser: Any, ended: House) -> None:
    visitor, asked = Visitor(browser, ended.address), list[str]()
    path = log_of(ended)
    page = visitor.go("/logs")
    rows(page, before := lines(path))
    page.locator(".link-live").wait_for()
    page.on("request", lambda request: asked.append(request.url) if "/logs" in request.url else None)

    write(path, range(5))

    rows(page, before + 5)
    newest = page.get_by_role("table", name="Log").locator(".table-row").first
    playwright.expect(newest).to_contain_text("Planted 4")
    write(path, [5])
    playwright.expect(newest).to_contain_text("Planted 5")
    assert asked == []
    page.get_by_label("Contains").fill("planted_77")
    page.get_by_text("No line fits.").wait_for()
    write(path, range(70, 80))
    rows(page, 1)
    assert visitor.faults == []
    visitor.close()


def test_lines_that_were_written_while_the_connection_was_lost_come_once_each(
    browser: Any, ended: House
) -> None:
    visitor = Visitor(browser, ended.address)
    path = log_of(ended)
    page = visitor.go("/logs")
    rows(page, before := lines(path))
    write(path, [0])
    rows(page, before + 1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/logs" in request.url else None)
    ended.server.kill()
    ended.server.wait(30)
    page.get_by_text("Connection lost").wait_for()

    write(path, range(1, 400))
    ended.serve()

    rows(page, before + 400)
    assert [each for each in asked if not each.endswith("?limit=1")] == []  # it went on where it was
    write(path, [400])
    rows(page, before + 401)
    visitor.close()


def put_away(path: Path, number: int) -> None:
    """Let a log begin anew, as `kernel.log` does."""
    for n in range(4, 0, -1):
        if (kept := path.with_name(f"{path.name}.{n}")).exists():
            kept.rename(path.with_name(f"{path.name}.{n + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))
    write(path, [number])


def test_a_log_that_is_put_away_meanwhile_is_among_the_files(browser: Any, ended: House) -> None:
    visitor = Visitor(browser, ended.address)
    path = log_of(ended)
    page = visitor.go("/logs")
    file, options = page.get_by_role("combobox", name="File"), page.get_by_role("option", name="until")
    rows(page, before := lines(path))
    page.locator(".link-live").wait_for()

    put_away(path, 1)

    rows(page, before + 1)
    file.wait_for()  # there was one file alone
    assert page.get_by_role("button", name="Read the file before it").count() == 0  # all of it is there
    file.click()
    playwright.expect(options).to_have_count(1)
    put_away(path, 2)
    rows(page, before + 2)
    playwright.expect(options).to_have_count(2)  # while the list is open
    page.keyboard.press("Escape")
    ended.server.kill()
    ended.server.wait(30)
    page.get_by_text("Connection lost").wait_for()
    put_away(path, 3)
    with page.expect_response(lambda answer: answer.url.endswith("/logs?limit=1") and answer.ok):
        ended.serve()
    file.click()
    playwright.expect(options).to_have_count(3)
    visitor.close()


def test_older_lines_are_read_as_one_scrolls_back_to_the_first(browser: Any, ended: House) -> None:
    path = log_of(ended)
    first = json.loads(path.read_bytes().splitlines()[0])["event"]
    write(path, range(1_500))
    visitor = Visitor(browser, ended.address)
    page = visitor.go("/logs")
    table = page.get_by_role("table", name="Log")
    rows(page, 200)
    table.focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.get_by_role("dialog", name="Planted 1498").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("Tab")
    assert not table.evaluate(
        "each => each.contains(document.activeElement)"
    )  # nor is it a thousand rows further

    page.wait_for_function(
        f"count => ({DEEP})(document.querySelector('[aria-label=Log]')) === count", arg=lines(path) + 1
    )

    table.evaluate(DEEP)
    table.locator(".table-row").last.get_by_text(first.capitalize()).wait_for()
    assert visitor.faults == []
    visitor.close()


def test_a_log_that_was_put_away_is_chosen_or_read_on_to(browser: Any, ended: House) -> None:
    path = log_of(ended)
    for number in (2, 1):
        write(path.with_name(f"bot.log.{number}"), range(10 * number, 10 * number + 3))
    visitor = Visitor(browser, ended.address)
    page = visitor.go("/logs")
    table, file = page.get_by_role("table", name="Log"), page.get_by_role("combobox", name="File")
    rows(page, lines(path))
    shot(page, "logs-files")

    page.get_by_role("button", name="Read the file before it").click()

    rows(page, 3)
    table.get_by_text("Planted 12").wait_for()
    write(path, [99])  # what comes to the newest is not told among older lines
    file.click()
    page.get_by_role("option", name="until").nth(1).click()
    rows(page, 3)
    table.get_by_text("Planted 22").wait_for()
    assert page.get_by_role("button", name="Read the file before it").count() == 0  # there is none
    page.get_by_label("Contains").fill("planted_21")
    rows(page, 1)
    page.get_by_label("Contains").fill("")
    file.click()
    page.get_by_role("option", name="The newest").click()
    table.get_by_text("Planted 99").wait_for()
    assert visitor.faults == []
    visitor.close()


def test_a_text_that_is_too_long_to_look_for_is_told_at_its_field(browser: Any, ended: House) -> None:
    visitor = Visitor(browser, ended.address)
    page = visitor.go("/logs")
    field = page.get_by_label("Contains")

    field.fill("x" * 129)

    told(field).get_by_text("Write 128 characters at most.").wait_for()
    assert page.get_by_role("alert").count() == 0
    field.fill("x" * 128)
    page.get_by_text("No line fits.").wait_for()
    playwright.expect(field).not_to_have_attribute("aria-invalid", "true")
    visitor.close()


def test_the_servers_own_log_is_followed_by_an_admin_and_shows_no_secret(
    browser: Any, tmp_path: Path
) -> None:
    venue = KeyedVenue("BINANCE", time.time_ns())
    with on_loopback(venue) as settings, House(tmp_path, demo=False) as house:
        (house.program.userdir / "config.toml").write_text(settings)
        admin, seen = Visitor(browser, house.address), list[str]()
        admin.page.on(
            "websocket", lambda opened: opened.on("framereceived", lambda text: seen.append(str(text)))
        )
        page = entered(admin, house)
        page.get_by_role("link", name="Logs").click()
        table = page.get_by_role("table", name="Log")
        table.locator(".table-row", has_text="Serving").wait_for()
        ours = {"X-Abidance": "1", "Origin": house.address}
        given = {"venue": "binance", "key": KEY, "secret": SECRET[:-4] + "AAA=", "vault": VAULT}
        refused = page.request.post(f"{house.address}/api/v1/keys", data=given, headers=ours)
        assert refused.status == 422

        write(house.program.userdir / "serve.log", [1])

        table.locator(".table-row").first.get_by_text("Planted 1").wait_for()
        assert barriers(page) == []
        shot(page, "logs-server")
        seen += [page.content(), page.request.get(f"{house.address}/api/v1/logs").text()]
        assert any("planted_1" in each for each in seen[:-2])  # told by the stream
        assert [each for each in (KEY, SECRET, VAULT) if any(each[:12] in text for text in seen)] == []
        admin.close()
