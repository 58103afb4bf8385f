"""What lies between browser and server: how much is loaded, a line that is slow or lost, a session that ends."""

import gzip
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

from abidance.api.app import web_folder
from tests.e2e.dashboard import House, Visitor, browser, entered, house, playwright, pytestmark, visitor
from tests.e2e.test_dashboard_lists import Trading

__all__ = ["browser", "house", "pytestmark", "visitor"]  # fixtures, and what all tests of the dashboard need
WATCH = """(() => {
    const open = WebSocket;
    window.WebSocket = class extends open {
        constructor(...given) {
            super(...given);
            this.addEventListener('message', () => { window.heard = performance.now(); });
        }
    };
    new MutationObserver(() => {
        if (window.told === undefined && document.querySelector('.lost')) window.told = performance.now();
    }).observe(document, {childList: true, subtree: true});
})()"""
"""Notes in the page itself when a message came last, and when a lost connection was shown."""
SLOW = {"offline": False, "latency": 500, "downloadThroughput": 60_000, "uploadThroughput": 60_000}


def test_what_a_browser_loads_before_it_shows_the_overview_is_small(visitor: Visitor) -> None:
    loaded: list[str] = []
    visitor.page.on("response", lambda answer: loaded.append(answer.url.removeprefix(visitor.address)))

    page = visitor.go("/")
    page.locator("canvas").first.wait_for()  # the charts, too

    assets = {path for path in loaded if path.startswith("/assets/")}
    sizes = {path: len(gzip.compress((web_folder() / path[1:]).read_bytes())) for path in assets}
    assert sum(size for path, size in sizes.items() if path.endswith(".js")) < 400_000
    assert sum(size for path, size in sizes.items() if path.endswith(".css")) < 60_000
    assert len(assets) < 25


def test_a_lost_connection_is_shown_within_three_seconds_and_misses_nothing(
    browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "abidance" / "runs" / "long" / "journal.abj"
    with closing(Trading(path)) as bot, House(tmp_path, demo=True) as house:
        bot.send(20)
        visitor = Visitor(browser, house.address)
        visitor.page.add_init_script(WATCH)
        page = visitor.go("/orders")
        table = page.get_by_role("table", name="All orders")
        playwright.expect(table).to_have_attribute("aria-rowcount", "21")
        page.locator(".link-live").wait_for()
        house.server.send_signal(signal.SIGSTOP)
        try:
            page.get_by_text("Connection lost").wait_for(timeout=20_000)
            bot.send(15)
        finally:
            house.server.send_signal(signal.SIGCONT)

        page.locator(".link-live").wait_for(timeout=20_000)
        playwright.expect(table).to_have_attribute("aria-rowcount", "36")
        assert page.get_by_text("Connection lost").count() == 0
        assert page.evaluate("window.told - window.heard") < 3_000
        visitor.context.close()


def test_a_slow_line_is_neither_flooded_nor_left_without_answers(visitor: Visitor) -> None:
    asked: dict[str, int] = {}
    most: dict[str, int] = {}
    broken: list[str] = []

    def begin(request: Any) -> None:
        asked[request.url] = asked.get(request.url, 0) + 1
        most[request.url] = max(most.get(request.url, 0), asked[request.url])

    def end(request: Any) -> None:
        asked[request.url] = asked.get(request.url, 1) - 1

    page = visitor.go("/orders")
    page.locator(".link-live").wait_for()
    visitor.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    page.on("requestfailed", lambda request: broken.append(request.url))
    orders = "/orders?limit=200"

    for _ in range(3):  # the bot trades on, many bars in a second: what is shown follows it all the same
        with page.expect_response(lambda answer: orders in answer.url and answer.ok, timeout=20_000):
            pass

    assert broken == []
    assert max(most.values()) == 1


def test_a_session_that_ends_shows_the_way_in_at_once(browser: Any, tmp_path: Path) -> None:
    with House(tmp_path, demo=False) as house:
        visitor = Visitor(browser, house.address)
        page = entered(visitor, house)
        page.locator(".link-live").wait_for()

        visitor.context.clear_cookies()
        page.get_by_role("link", name="Data").click()

        page.get_by_role("button", name="Log in").wait_for()
        page.get_by_text("Your session is over.").wait_for()
        page.get_by_label("Name").fill("ada")
        page.get_by_role("textbox", name="Password").fill("correct horse battery")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Data", exact=True).wait_for()
        page.locator(".link-live").wait_for()
        visitor.context.close()
