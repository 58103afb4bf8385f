"""What lies between browser and server: how much is loaded, a line that is slow or lost, a session that ends."""

import gzip
import re
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from abidance.api.app import web_folder
from tests.e2e.dashboard import (
    SCREENS,
    STILL,
    House,
    Visitor,
    browser,
    entered,
    house,
    playwright,
    pytestmark,
    shot,
    visitor,
)
from tests.trading import Trading

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
FIGURE = """() => {
    window.told = (label) => [...document.querySelectorAll('.stat')]
        .find(each => each.querySelector('.stat-label').textContent.startsWith(label))
        .querySelector('.stat-value').textContent;
}"""
"""Lets the page tell a figure by its name."""
ALL_ORDERS = "/orders?limit=200"
CURVE = "/equity?"
LATE, PATIENCE = re.compile("/api/v1/(?!session$|runs$|stream$)"), 4_100
"""What is held back in a page, and for how many milliseconds: longer than a screen waits before it is shown."""
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
    assert len({path for path in loaded if path.startswith("/api/")}) <= 15


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Trading, House]]:
    """A bot that sends orders when it is told to, and the server over it."""
    folder = tmp_path_factory.mktemp("long")
    path = folder / "abidance" / "runs" / "long" / "journal.abj"
    with closing(Trading(path)) as bot, House(folder, demo=True) as house:
        bot.send(1)
        yield bot, house


def test_a_lost_connection_is_shown_within_three_seconds_and_misses_nothing(
    browser: Any, long: tuple[Trading, House]
) -> None:
    bot, house = long
    visitor = Visitor(browser, house.address)
    visitor.page.add_init_script(WATCH)
    page = visitor.go("/orders")
    table = page.get_by_role("table", name="All orders")
    page.locator(".link-live").wait_for()
    house.server.send_signal(signal.SIGSTOP)
    try:
        page.get_by_text("Connection lost").wait_for()
        bot.send(15)
    finally:
        house.server.send_signal(signal.SIGCONT)

    page.locator(".link-live").wait_for()
    playwright.expect(table).to_have_attribute("aria-rowcount", str(bot.count + 1))
    assert page.get_by_text("Connection lost").count() == 0
    assert page.evaluate("window.told - window.heard") < 3_000

    house.server.kill()
    house.server.wait()
    page.get_by_text("Connection lost").wait_for()
    bot.send(15)
    house.serve()

    page.locator(".link-live").wait_for()
    playwright.expect(table).to_have_attribute("aria-rowcount", str(bot.count + 1))
    visitor.close()


def pause(page: Any) -> None:
    """Let no timer run from here on but by our leave; who comes too late for a moment takes a later one."""
    while True:
        with suppress(playwright.Error):
            page.clock.pause_at(page.evaluate("Date.now() / 1000 + 0.2"))
            return


def test_what_the_stream_tells_is_shown_while_hardly_any_time_passes_and_nothing_is_asked(
    browser: Any, long: tuple[Trading, House]
) -> None:
    bot, house = long
    visitor = Visitor(browser, house.address)
    page, sockets, asked = visitor.page, list[Any](), list[str]()

    def opened(socket: Any) -> None:
        sockets.append(socket)

    page.on("websocket", opened)
    page.clock.install()
    visitor.go("/orders")
    table = page.get_by_role("table", name="All orders")
    page.locator(".link-live").wait_for()
    pause(page)

    page.on("request", lambda request: asked.append(request.url))
    for _ in range(3):
        with sockets[-1].expect_event("framereceived", lambda text: '"changes"' in text):
            bot.send(1)
        page.clock.run_for(20)
        playwright.expect(table).to_have_attribute("aria-rowcount", str(bot.count + 1))

    assert [url for url in asked if ALL_ORDERS in url] == []
    visitor.close()


def test_what_comes_late_finds_its_room_and_moves_nothing(visitor: Visitor) -> None:
    page, held, seen_waiting = visitor.page, dict[str, list[Any]](), 0
    cache: dict[str, Any] = {}
    page.clock.install()

    def hold(route: Any) -> None:
        if here in held:
            held[here].append(route)
        else:
            route.continue_()

    def remember(route: Any) -> None:
        if route.request.url not in cache:
            cache[route.request.url] = route.fetch()
        route.fulfill(response=cache[route.request.url])

    page.route(LATE, hold)
    # Browsers do that, but not once anything is routed, and the server limits how often one address may ask.
    page.route("**/assets/**", remember)
    for here in SCREENS:
        held[here] = []
        page.goto(visitor.address + here)
        page.locator("h1").first.wait_for(state="attached")
        page.clock.fast_forward(PATIENCE)
        page.locator("h1").first.wait_for()
        seen_waiting += page.locator(".waiting:visible").count() > 0

        for route in held.pop(here):
            route.continue_()
        playwright.expect(page.locator(".waiting")).to_have_count(0)

        assert visitor.moved() < STILL, here
    assert seen_waiting > len(SCREENS) / 2
    assert visitor.faults == []


def test_the_order_book_is_asked_for_anew_several_times_a_second(visitor: Visitor) -> None:
    page = visitor.page
    page.clock.install()
    visitor.go("/markets")
    page.get_by_text("This bot reads no order book.").wait_for()
    pause(page)

    for _ in range(3):
        with page.expect_response(lambda answer: "/book?" in answer.url and answer.ok):
            page.clock.run_for(160)
            page.clock.run_for(160)  # the first may find an answer still on its way


def test_an_order_whose_answer_is_lost_bears_one_id_until_it_is_answered(visitor: Visitor) -> None:
    page, ids = visitor.go("/orders"), list[str]()
    button, doubt = (
        page.get_by_role("button", name="Order by hand"),
        page.get_by_text("No answer came to this"),
    )
    form = page.get_by_role("form", name="Order by hand")

    def lose(route: Any) -> None:
        ids.append(route.request.post_data_json["id"])
        if len(ids) < 4:
            route.abort()
        else:
            route.fulfill(status=409, json={"title": "Refused", "code": "max_exposure", "status": 409})

    def send() -> None:
        form.get_by_role("textbox", name="Quantity").fill("0.001")
        with page.expect_request(lambda request: request.method == "POST"):
            form.get_by_role("button", name="Ask risk, then send").click()

    page.route(lambda url: url.endswith("/bot/orders"), lose)
    button.click()
    for _ in range(2):
        send()
        doubt.wait_for()
        form.get_by_text("It is not tried again by itself.").wait_for()
    page.keyboard.press("Escape")
    button.click()
    doubt.wait_for()  # though nothing was sent from this form
    send()
    page.reload()
    button.click()
    doubt.wait_for()
    send()
    form.get_by_text("Refused").first.wait_for()
    playwright.expect(doubt).to_have_count(0)
    send()

    assert ids[0] == ids[1] == ids[2] == ids[3] != ids[4]


PRESSED = """async button => {
    const {x, y, width, height} = button.getBoundingClientRect();
    for (let times = 0; times < 60; times++) {
        const hit = document.elementFromPoint(x + width / 2, y + height / 2);
        if (hit && button.contains(hit)) hit.click();
        await new Promise(done => setTimeout(done, 10));
    }
}"""
"""Presses a button for as long as it is under the pointer, as somebody does who thinks that nothing happens."""


def test_an_order_is_sent_once_however_often_its_button_is_pressed(browser: Any, house: House) -> None:
    visitor, sent = Visitor(browser, house.address, reduced_motion="no-preference"), list[str]()

    def take(route: Any) -> None:
        sent.append(route.request.post_data_json["id"])
        route.fulfill(status=202, json={"notices": [], "refusals": []})

    page = visitor.go("/orders")
    page.route(lambda url: url.endswith("/bot/orders"), take)
    page.get_by_role("button", name="Order by hand").click()
    form = page.get_by_role("form", name="Order by hand")
    form.get_by_role("textbox", name="Quantity").fill("0.001")

    form.get_by_role("button", name="Ask risk, then send").evaluate(PRESSED)

    form.wait_for(state="detached")
    assert len(sent) == 1
    visitor.close()


def test_a_price_and_its_moment_move_together_with_the_stream_alone(visitor: Visitor) -> None:
    page = visitor.go("/markets")
    page.locator(".link-live").wait_for()
    last = page.locator(".stat", has_text="Last price")
    moment = last.locator("time")
    playwright.expect(moment).to_have_attribute("datetime", re.compile("Z$"))

    page.route("**/api/v1/**", lambda _: None)  # nothing that is asked for is answered from here on
    before = moment.get_attribute("datetime")

    playwright.expect(moment).not_to_have_attribute("datetime", str(before))


def test_what_prices_move_moves_with_the_stream_alone(visitor: Visitor) -> None:
    page = visitor.go("/")
    page.locator(".link-live").wait_for()
    page.get_by_role("table", name="Open positions").locator(".table-row").first.wait_for()

    page.evaluate(FIGURE)
    page.route("**/api/v1/**", lambda _: None)  # nothing that is asked for is answered from here on

    for label in ("Equity", "Profit today", "Drawdown now", "In the market"):
        page.evaluate("label => { window.before = window.told(label); }", label)
        page.wait_for_function("label => window.told(label) !== window.before", arg=label)
    page.evaluate("window.before = document.querySelector('.meter .number').textContent")
    page.wait_for_function("() => document.querySelector('.meter .number').textContent !== window.before")


def test_a_filter_ends_with_the_run_that_it_was_of(browser: Any, house: House) -> None:
    path = house.program.userdir / "runs" / "long" / "journal.abj"
    with closing(Trading(path)) as bot:
        bot.send(1)
        visitor = Visitor(browser, house.address)
        page = visitor.go("/round-trips")
        page.get_by_role("combobox", name="Instrument").click()
        page.get_by_role("option", name="ETH/USDT@BINANCE").click()

        page.get_by_role("combobox", name="Run").click()
        page.get_by_role("option", name=re.compile("^long")).click()

        playwright.expect(page.get_by_role("combobox", name="Instrument")).to_have_value("")
        page.get_by_text("No position has been closed yet.").wait_for()
        assert page.get_by_role("alert").count() == 0
        visitor.close()


def test_a_part_of_a_curve_that_was_chosen_stays_while_the_curve_grows(visitor: Visitor) -> None:
    page = visitor.go("/")
    chart = page.locator(".u-over").first
    chart.wait_for()
    box = chart.bounding_box()

    def begins() -> str:
        """Return the moment at the left edge, as the legend tells it."""
        page.mouse.move(box["x"] + 2, box["y"] + 60)
        return str(page.locator(".u-legend .u-value").first.text_content())

    whole = begins()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_function(
        "before => document.querySelector('.u-legend .u-value').textContent !== before", arg=whole
    )
    chosen = begins()
    for _ in range(3):
        with page.expect_response(lambda answer: "/equity?" in answer.url and answer.ok):
            pass

    assert chosen == begins() > whole

    page.mouse.dblclick(box["x"] + 60, box["y"] + 60)  # all of it again
    page.wait_for_function(
        "before => document.querySelector('.u-legend .u-value').textContent !== before", arg=chosen
    )
    assert begins() == whole


def test_a_slow_line_is_neither_flooded_nor_left_without_answers(visitor: Visitor) -> None:
    asked: dict[str, int] = {}
    most: dict[str, int] = {}
    broken: list[str] = []

    def begin(request: Any) -> None:
        asked[request.url] = asked.get(request.url, 0) + 1
        most[request.url] = max(most.get(request.url, 0), asked[request.url])

    def end(request: Any) -> None:
        asked[request.url] = asked.get(request.url, 1) - 1

    page = visitor.go("/")
    page.locator(".link-live").wait_for()
    visitor.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    page.on("requestfailed", lambda request: broken.append(request.url))

    for _ in range(3):  # the bot trades on, many bars in a second: what is shown follows it all the same
        with page.expect_response(lambda answer: CURVE in answer.url and answer.ok):
            pass

    assert broken == []
    assert max(most.values()) == 1


def comes_in(page: Any) -> None:
    page.get_by_role("textbox", name="Name").fill("ada")
    page.get_by_role("textbox", name="Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()


def test_a_session_that_ends_shows_the_way_in_at_once_and_keeps_what_was_typed(
    browser: Any, tmp_path: Path
) -> None:
    with House(tmp_path, demo=False) as house:
        visitor = Visitor(browser, house.address)
        page = entered(visitor, house)
        page.locator(".link-live").wait_for()

        visitor.context.clear_cookies()
        page.get_by_role("link", name="Data").click()

        page.get_by_role("button", name="Log in").wait_for()
        page.get_by_text("Your session is over.").wait_for()
        comes_in(page)
        page.get_by_role("heading", name="Data", exact=True).wait_for()
        page.locator(".link-live").wait_for()

        page.get_by_role("link", name="Backtests").click()
        start = page.get_by_role("button", name="Start", exact=True)
        start.wait_for()
        page.get_by_label("Time range").fill("20240203-20240405")
        visitor.context.clear_cookies()
        start.click()  # in the middle of work

        page.get_by_text("Your session is over.").wait_for()
        assert list((house.program.userdir / "backtests").glob("*")) == []
        comes_in(page)
        playwright.expect(page.get_by_label("Time range")).to_have_value("20240203-20240405")
        page.locator(".link-live").wait_for()

        page.get_by_role("link", name="Strategies").click()
        page.get_by_role("button", name="New bot").click()
        dialog = page.get_by_role("dialog")
        name = dialog.get_by_role("textbox", name="Name")
        name.fill("nightly")
        visitor.context.clear_cookies()
        page.evaluate("dispatchEvent(new Event('visibilitychange'))")  # as when one comes back to the tab
        page.get_by_text("Your session is over.").wait_for()
        playwright.expect(dialog).to_be_hidden()
        shot(page, "session-over")
        comes_in(page)
        playwright.expect(name).to_have_value("nightly")
        visitor.close()
