"""The dashboard in a real browser, over a real server and a real bot: every screen, and what one does there."""

import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abidance.api.app import web_folder
from abidance.run.door import is_answering, leave
from tests.e2e.program import Program
from tests.unit.venues.keyed_venue import KEY, SECRET, KeyedVenue, on_loopback

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = Path(os.environ.get("ABIDANCE_SCREENSHOTS", ROOT / "build" / "screenshots"))
SCREENS = {
    "/": "Overview",
    "/markets": "Markets",
    "/strategies": "Strategies",
    "/orders": "Orders",
    "/round-trips": "Round trips",
    "/portfolio": "Portfolio",
    "/risk": "Risk",
    "/logs": "Logs",
    "/backtests": "Backtests",
    "/optimise": "Optimise",
    "/data": "Data",
    "/settings": "Settings",
}
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(
        not (web_folder() / "index.html").is_file(), reason="the dashboard was not built: make web"
    ),
    pytest.mark.xdist_group("dashboard"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(true: Any, what: str, seconds: float = 60.0) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"it never happened: {what}"
        time.sleep(0.1)


class House:
    """A user directory with a bot that trades on a replay, and the server over it."""

    def __init__(self, folder: Path, *, demo: bool) -> None:
        self.folder, self.port, self.demo = folder, free_port(), demo
        self.address = f"http://127.0.0.1:{self.port}"
        self.program = Program(folder)
        self.env = self.program.environ | {"PYTHONUNBUFFERED": "1"}
        self.bot: subprocess.Popen[bytes] | None = None
        self.bots: list[subprocess.Popen[bytes]] = []
        self.log = folder / "server.log"

    def start_bot(self) -> None:
        command = self.program.command(
            "trade", "-s", "EmaCross", "-p", "BTC/USDT,ETH/USDT", "-i", "1h", "--plain",
            "--timerange", "20250101-20250601", "--speed", "20000",
        )  # fmt: skip
        self.bot = subprocess.Popen(
            command, env=self.program.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.bots.append(self.bot)
        until((self.program.userdir / "runs" / "bot" / "door.sock").exists, "the bot opens its door")

    def stop_bot(self) -> None:
        assert self.bot is not None
        self.bot.send_signal(signal.SIGTERM)
        self.bot.wait(30)

    def __enter__(self) -> "House":
        with self.log.open("wb") as log:
            command = self.program.command(
                "serve", "--port", str(self.port), *(["--demo"] if self.demo else [])
            )
            self.server = subprocess.Popen(command, env=self.env, stdout=log, stderr=subprocess.STDOUT)
        until(lambda: b"Ctrl-C" in self.log.read_bytes(), "the server listens")
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.server, *self.bots):
            if process.poll() is None:
                process.kill()
            process.wait(30)


class Visitor:
    """One page with everything about it that should not be: errors, refusals, requests to others."""

    def __init__(self, browser: Any, address: str, **given: Any) -> None:
        self.context = browser.new_context(viewport=given.get("viewport", {"width": 1360, "height": 900}))
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.address = address
        self.faults: list[str] = []
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._see)

    def _see(self, request: Any) -> None:
        host = self.address.partition("//")[2]
        if not re.match(rf"(https?|ws)://{re.escape(host)}/|data:|blob:", request.url):
            self.faults.append(f"a request to somebody else: {request.url}")

    def go(self, path: str) -> Any:
        self.page.goto(self.address + path)
        self.page.locator("h1").first.wait_for()
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as found:
        made = found.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), demo=True) as made:
        made.start_bot()
        yield made


@pytest.fixture
def visitor(browser: Any, house: House) -> Iterator[Visitor]:
    made = Visitor(browser, house.address)
    yield made
    made.context.close()


@pytest.mark.parametrize(("path", "name"), SCREENS.items())
def test_each_screen_shows_real_data_and_asks_nobody_else(visitor: Visitor, path: str, name: str) -> None:
    page = visitor.go(path)

    page.get_by_role("heading", name=name, exact=True).first.wait_for()
    page.get_by_text("Loading").wait_for(state="hidden")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name.replace(' ', '-').lower()}.png", full_page=True)
    assert page.get_by_text("PAPER", exact=True).is_visible()
    assert page.get_by_role("alert").count() == 0
    assert visitor.faults == []


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm ci in web/")
@pytest.mark.parametrize("path", SCREENS)
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_no_screen_has_a_serious_barrier(visitor: Visitor, path: str, scheme: str) -> None:
    page = visitor.go(path)
    if scheme == "light":
        page.get_by_role("button", name="Light colours").click()
    page.get_by_text("live", exact=True).wait_for()
    # The page's policy allows no foreign script; a debugger's evaluation is not bound by it.
    page.evaluate(AXE.read_text(encoding="utf-8"))

    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")

    grave = [
        (each["id"], each["nodes"][0]["html"][:200])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == []


def test_the_figures_are_those_of_the_bot_and_move_with_it(visitor: Visitor) -> None:
    page = visitor.go("/")
    shown = page.locator(".equity b")
    before = shown.text_content()

    playwright.expect(shown).not_to_have_text(before or "", timeout=20_000)

    assert re.fullmatch(r"[\d,]+\.\d\d", before or "")


def test_a_fill_says_why_it_came_to_be(visitor: Visitor) -> None:
    page = visitor.go("/orders")
    page.get_by_role("tab", name="Fills").click()

    page.get_by_role("table", name="Fills").locator(".table-row").first.click()

    drawer = page.get_by_role("dialog")
    for step in ("Wished", "Asked of risk", "Risk answered", "Booked"):
        drawer.get_by_text(step, exact=True).wait_for()
    assert visitor.faults == []


def test_an_order_by_hand_meets_the_same_risk_and_its_refusal_is_told(visitor: Visitor) -> None:
    page = visitor.go("/orders")
    page.get_by_role("button", name="Order by hand").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Quantity").fill("1000")

    form.get_by_role("button", name="Ask risk, then send").click()

    form.get_by_text(re.compile("Refused")).wait_for()
    assert form.is_visible()


def test_a_parameter_that_is_changed_reaches_the_engine(visitor: Visitor, house: House) -> None:
    page = visitor.go("/strategies")
    field = page.get_by_role("form", name="Parameters of EmaCross").get_by_label("fast")
    field.fill("7")

    page.get_by_role("button", name="Apply to the running bot").first.click()
    page.get_by_text("done, and on record").first.wait_for()
    page.reload()

    playwright.expect(
        page.get_by_role("form", name="Parameters of EmaCross").get_by_label("fast")
    ).to_have_value("7")
    log = (house.program.userdir / "runs" / "bot" / "journal.abj").read_bytes()
    assert b"set_parameters" in log


def test_limits_change_while_the_bot_runs_and_loosening_asks_once_more(
    visitor: Visitor, house: House
) -> None:
    page = visitor.go("/risk")
    form = page.get_by_role("form", name="Limits")
    form.get_by_label("Max positions").fill("9")
    form.get_by_role("button", name="Apply to the running bot").click()
    page.get_by_text("changed max_positions 10 to 9").wait_for()

    form.get_by_label("Max positions").fill("11")
    form.get_by_role("button", name="Apply to the running bot").click()
    page.get_by_role("dialog").get_by_text("This lets more risk in: max_positions.").wait_for()
    page.get_by_role("button", name="Loosen them").click()
    page.get_by_text("changed max_positions 9 to 11").wait_for()

    page.reload()
    playwright.expect(form.get_by_label("Max positions")).to_have_value("11")
    assert b"set_limits" in (house.program.userdir / "runs" / "bot" / "journal.abj").read_bytes()


def test_a_limit_that_does_not_fit_is_told_and_changes_nothing(visitor: Visitor) -> None:
    page = visitor.go("/risk")
    form = page.get_by_role("form", name="Limits")
    form.get_by_label("Price collar").fill("250")

    form.get_by_role("button", name="Apply to the running bot").click()

    form.get_by_role("alert").get_by_text(re.compile("price_collar")).wait_for()


def test_a_round_trip_keeps_a_note_and_the_journal_is_saved_as_csv(visitor: Visitor) -> None:
    page = visitor.go("/round-trips")
    rows = page.get_by_role("table", name="Closed round trips").locator(".table-row")
    rows.first.wait_for(timeout=60_000)
    rows.first.click()
    form = page.get_by_role("form", name="Notes")
    form.get_by_role("textbox", name="Note").fill("Entered late.")
    form.get_by_label("Labels").first.fill("late")
    page.keyboard.press("Enter")
    form.get_by_role("button", name="Keep it").click()
    page.get_by_label("Label", exact=True).fill("late")
    playwright.expect(rows).to_have_count(1)

    with page.expect_download() as download:
        page.get_by_role("link", name="Save as CSV").click()

    text = Path(download.value.path()).read_text()
    assert "late,Entered late." in text
    assert visitor.faults == []


def test_a_resting_order_is_changed_and_taken_back(visitor: Visitor) -> None:
    page = visitor.go("/orders")
    page.get_by_role("button", name="Order by hand").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox", name="Type").click()
    page.get_by_role("option", name="limit").click()
    form.get_by_role("textbox", name="Quantity").fill("0.001")
    form.get_by_role("textbox", name="Limit price").fill("20000")
    form.get_by_role("button", name="Ask risk, then send").click()
    resting = page.get_by_role("table", name="Open orders").locator(".table-row").filter(has_text="20,000")
    resting.get_by_role("button", name="Change").click()
    change = page.get_by_role("form", name="Change an order")
    change.get_by_role("textbox", name="Limit price").fill("21000")
    change.get_by_role("button", name="Ask risk, then change it").click()

    changed = page.get_by_role("table", name="Open orders").locator(".table-row").filter(has_text="21,000")
    changed.get_by_role("button", name="Cancel").click()

    playwright.expect(changed).to_have_count(0, timeout=20_000)
    assert visitor.faults == []


def test_the_portfolio_says_who_brought_what_and_what_went_together(visitor: Visitor) -> None:
    page = visitor.go("/portfolio")

    page.locator(".brought").first.wait_for(timeout=60_000)
    page.locator(".correlation").get_by_text("1.00").first.wait_for()
    assert visitor.faults == []


def test_a_market_shows_indicators_and_says_why_there_is_no_book(visitor: Visitor) -> None:
    page = visitor.go("/markets")
    page.get_by_label("Indicators").first.fill("ema 50")
    page.keyboard.press("Enter")

    page.locator(".legend").get_by_text("ema 50").wait_for()
    page.get_by_text("This bot reads no order book.").wait_for()
    page.get_by_text("whole, ").wait_for()
    assert visitor.faults == []


def test_a_backtest_is_started_watched_and_opened(visitor: Visitor) -> None:
    page = visitor.go("/backtests")

    page.get_by_role("button", name="Start", exact=True).click()

    row = page.locator(".backtest").first
    playwright.expect(row.get_by_text("done", exact=True)).to_be_visible(timeout=60_000)
    row.get_by_text("Total return").first.wait_for()
    row.locator("canvas").first.wait_for()
    assert visitor.faults == []


def test_what_does_not_fit_in_a_form_is_told_at_its_field(visitor: Visitor) -> None:
    page = visitor.go("/backtests")
    page.get_by_label("Time range").fill("yesterday")

    page.get_by_role("button", name="Start", exact=True).click()

    page.get_by_text(re.compile("time ?range", re.IGNORECASE)).last.wait_for()
    page.get_by_role("alert").or_(page.locator(".backtest .down")).first.wait_for()


def test_a_phone_shows_every_screen_without_scrolling_sideways(browser: Any, house: House) -> None:
    visitor = Visitor(browser, house.address, viewport={"width": 390, "height": 844})
    for path in SCREENS:
        page = visitor.go(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{path} is {width} wide"
    visitor.context.close()


def test_the_keyboard_alone_reaches_every_screen(visitor: Visitor) -> None:
    page = visitor.go("/")

    page.keyboard.press("Control+k")
    playwright.expect(page.get_by_placeholder("Go to…")).to_be_focused()
    page.keyboard.type("round")
    page.get_by_role("button", name="Round trips").wait_for()
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Round trips").wait_for()
    assert page.url.endswith("/round-trips")


def test_the_kill_switch_stops_the_bot_and_holds_over_a_restart(browser: Any, tmp_path: Path) -> None:
    with House(tmp_path, demo=True) as house:
        house.start_bot()
        visitor = Visitor(browser, house.address)
        page = visitor.go("/")
        page.get_by_role("button", name="Kill", exact=True).click()
        page.get_by_role("button", name="Stop it").click()
        page.locator(".top").get_by_text("halted").wait_for()

        house.stop_bot()
        house.start_bot()

        page.reload()
        page.locator(".top").get_by_text("halted").wait_for(timeout=30_000)
        visitor.context.close()


def test_a_paper_bot_is_started_stopped_and_started_again_from_the_browser(
    browser: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "abidance" / "runs" / "mine"
    with House(tmp_path, demo=True) as house:
        visitor = Visitor(browser, house.address)
        page = visitor.page
        try:
            page.goto(house.address)
            page.get_by_role("button", name="New bot").click()
            form = page.get_by_role("form", name="Start a bot")
            form.get_by_role("textbox", name="Name").fill("mine")
            form.get_by_label("fast").fill("9")
            form.get_by_role("button", name="Start it").click()
            page.get_by_text("mine is running.").wait_for(timeout=30_000)
            page.get_by_role("link", name="Strategies").click()
            shown = page.get_by_role("form", name="Parameters of EmaCross").get_by_label("fast")
            playwright.expect(shown).to_have_value("9")

            page.get_by_role("button", name="Stop the bot").click()
            until(lambda: not is_answering(folder), "the bot ends")
            page.get_by_role("button", name="Start it again").click()
            page.get_by_role("dialog").get_by_role("button", name="Start it").click()
            until(lambda: is_answering(folder), "the bot runs again")

            assert visitor.faults == []
        finally:
            if is_answering(folder):
                leave(folder, "the test")
                until(lambda: not is_answering(folder), "the bot ends")
            visitor.context.close()


def test_a_bot_that_cannot_start_says_why(visitor: Visitor) -> None:
    page = visitor.go("/strategies")
    page.get_by_role("button", name="New bot").click()
    form = page.get_by_role("form", name="Start a bot")
    form.get_by_role("textbox", name="Name").fill("another")
    form.get_by_label("Time range").fill("20300101-")

    form.get_by_role("button", name="Start it").click()

    form.get_by_role("alert").get_by_text(re.compile("did not start")).wait_for(timeout=30_000)


def test_a_lost_connection_is_shown_and_comes_back(browser: Any, tmp_path: Path) -> None:
    with House(tmp_path, demo=True) as house:
        visitor = Visitor(browser, house.address)
        page = visitor.page
        page.goto(house.address)
        page.get_by_text("No bot has run yet").wait_for()
        page.locator(".link-live").wait_for()
        house.server.send_signal(signal.SIGSTOP)
        try:
            page.get_by_text("connection lost").wait_for(timeout=8_000)
        finally:
            house.server.send_signal(signal.SIGCONT)

        page.locator(".link-live").wait_for(timeout=20_000)
        visitor.context.close()


def test_a_key_goes_in_is_checked_and_is_never_shown(browser: Any, tmp_path: Path) -> None:
    venue = KeyedVenue("BINANCE", time.time_ns())
    with on_loopback(venue) as settings, House(tmp_path, demo=False) as house:
        (house.program.userdir / "config.toml").write_text(settings)
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        page.goto(house.address + "/settings")
        page.get_by_role("tab", name="Venues and keys").click()
        page.get_by_role("button", name="Add a key").click()
        form = page.get_by_role("form", name="Add a key")
        form.get_by_role("textbox", name="Key").fill(KEY)
        form.get_by_role("textbox", name="Secret").fill(SECRET)
        form.get_by_role("textbox", name="Passphrase of the new vault").fill("words that open the vault")
        form.get_by_role("button", name="Check it, then add it").click()
        page.get_by_text("It may:").wait_for()
        page.get_by_role("button", name="Good").click()
        page.get_by_role("table", name="Keys").get_by_text("BINANCE").wait_for()

        assert [each for each in admin.faults if "401" not in each] == []  # before anybody was logged in
        assert KEY not in page.content()
        admin.context.close()


def entered(visitor: Visitor, house: House) -> Any:
    """Make the first admin, who is then logged in."""
    token = re.findall(rb"^ +(\S+)$", house.log.read_bytes(), re.MULTILINE)[0].decode()
    page = visitor.page
    page.goto(house.address)
    page.get_by_label("Token").fill(token)
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("textbox", name="Password").fill("correct horse battery")
    page.get_by_role("button", name="Make the admin and log in").click()
    page.get_by_role("link", name="Settings").wait_for()
    return page


def test_the_first_admin_is_made_once_and_roles_hold_in_the_browser(browser: Any, tmp_path: Path) -> None:
    with House(tmp_path, demo=False) as house:
        house.start_bot()
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("tab", name="Users").click()
        page.get_by_role("button", name="Add a user").click()
        page.get_by_role("dialog").get_by_label("Name").fill("vera")
        page.get_by_role("dialog").get_by_role("textbox", name="Password").fill("another long sentence")
        page.get_by_role("dialog").get_by_role("button", name="Add").click()
        page.get_by_role("table", name="Users").get_by_text("vera").wait_for()

        viewer = Visitor(browser, house.address)
        page = viewer.page
        page.goto(house.address)
        page.get_by_label("Name").fill("vera")
        page.get_by_role("textbox", name="Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        page.get_by_role("textbox", name="Password").fill("another long sentence")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        page.get_by_role("link", name="Orders").click()
        page.get_by_role("heading", name="Orders", exact=True).wait_for()

        assert page.get_by_role("button", name="Order by hand").count() == 0
        assert page.get_by_role("button", name="Kill").count() == 0
        admin.context.close()
        viewer.context.close()


def test_what_a_browser_loads_first_is_small() -> None:
    first = re.findall(r'(?:src|href)="(/assets/[^"]+\.js)"', (web_folder() / "index.html").read_text())

    sizes = {name: len(gzip.compress((web_folder() / name.lstrip("/")).read_bytes())) for name in first}

    assert sizes
    assert sum(sizes.values()) < 400_000
