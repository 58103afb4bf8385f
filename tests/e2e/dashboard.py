"""A user directory with a server and bots over it, and somebody who looks at it in a real browser."""

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abidance.kernel.clock import WallClock
from abidance.testing.exchange import Account, LocalExchange, generated
from tests.chromium import CHROMIUM, MISSING
from tests.e2e.program import Program
from tests.lacking import needs

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
_SETTLED = """new Promise(done => {
    const isBusy = () => document.querySelector('.settling, .waiting') ||
        document.getAnimations().some(each => each instanceof CSSTransition);
    const end = performance.now() + 10_000;
    let quiet = 0;
    const look = () => {
        quiet = isBusy() ? 0 : quiet + 1;
        if (quiet < 3 && performance.now() < end) requestAnimationFrame(look);
        else done(null);
    };
    look();
})"""
_CUT = """[...document.querySelectorAll('.stat-value, .table-row > .number, .table-row > :has(time)')]
    .filter(each => each.scrollWidth > each.clientWidth + 1)
    .map(each => `${each.closest('.table')?.ariaLabel ?? 'a figure'}, ${each.dataset.name ?? ''} ${each.innerText}`)"""
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
    "/alerts": "Alerts",
    "/backtests": "Backtests",
    "/optimise": "Optimise",
    "/data": "Data",
    "/jobs": "Jobs",
    "/settings": "Settings",
}
STILL = 0.02
"""Layout shift of a page's life that nobody sees: 0.1 is what counts as good."""
_OFF = (
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup",
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying",
    "OptimizationHints", "PaintHolding", "ThirdPartyStoragePartitioning",
)  # fmt: skip
"""Pages that nobody sees beneath the address bar, which cost each visitor a second of work; and what Playwright turns
off by itself, as a browser heeds the last such list alone."""
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", f"--disable-features={','.join(_OFF)}",
]  # fmt: skip

_HELD = """import os
class Held(EventStrategy):
    timeframe = "1h"
    seen = 0

    def on_bar(self, bar, view):
        self.seen += 1
        if self.seen == 1:
            self.gate = os.open({gate!r}, os.O_RDONLY)
        if self.seen == 12_000:
            os.read(self.gate, 1)
"""
BTC = "BTC/USDT@BINANCE"
ACCOUNT = Account("a-key", "a-secret")
QUIET = 600
CIRCUIT = {
    "venue": "BINANCE",
    "part": "orders",
    "state": "open",
    "reason": "It fails.",
    "trips": 1,
    "rest": 60,
    "ts": 0,
}
"""A circuit that is open, as no bot on paper has one."""
_WATCH = """window.moved = 0;
new PerformanceObserver(list => {
    for (const each of list.getEntries()) if (!each.hadRecentInput) window.moved += each.value;
}).observe({type: 'layout-shift', buffered: true});"""

pytestmark = [needs(*MISSING)]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
SOON = 60_000
"""Milliseconds in which a page shows what it should, on the busiest of machines."""
playwright.expect.set_options(timeout=SOON)


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

    def start_bot(self, speed: int = 20_000, name: str = "bot", strategy: str = "EmaCross") -> None:
        command = self.program.command(
            "trade", "-s", strategy, "-p", "BTC/USDT,ETH/USDT", "-i", "1h", "--plain",
            "--timerange", "20250101-20250601", "--speed", str(speed), "--set", f"name={name}",
        )  # fmt: skip
        self.bot = subprocess.Popen(
            command, env=self.program.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.bots.append(self.bot)
        until((self.program.userdir / "runs" / name / "door.sock").exists, "the bot opens its door")

    def stop_bot(self) -> None:
        assert self.bot is not None
        self.bot.send_signal(signal.SIGTERM)
        self.bot.wait(30)

    def serve(self) -> None:
        """Start the server, and wait until it listens."""
        with self.log.open("wb") as log:
            command = self.program.command(
                "serve", "--port", str(self.port), *(["--demo"] if self.demo else [])
            )
            self.server = subprocess.Popen(command, env=self.env, stdout=log, stderr=subprocess.STDOUT)
        until(lambda: b"Ctrl-C" in self.log.read_bytes(), "the server listens")

    def __enter__(self) -> "House":
        self.serve()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.server, *self.bots):
            if process.poll() is None:
                process.kill()
            process.wait(30)


_MANNERS = {"viewport": {"width": 1360, "height": 900}, "reduced_motion": "reduce"}


class Visitor:
    """One page with everything about it that should not be: errors, refusals, requests to others."""

    def __init__(self, browser: Any, address: str, **given: Any) -> None:
        self.context = browser.new_context(**_MANNERS | given)
        self.page = self.context.new_page()
        self.page.set_default_timeout(SOON)
        self.page.add_init_script(_WATCH)
        self.address = address
        self.faults: list[str] = []
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._see)

    def _see(self, request: Any) -> None:
        host = self.address.partition("//")[2]
        if not re.match(rf"(https?|ws)://{re.escape(host)}/|data:|blob:", request.url):
            self.faults.append(f"a request to somebody else: {request.url}")

    def moved(self) -> float:
        """Return how much has moved by itself since the page was opened: the layout shift, as browsers count it."""
        return float(self.page.evaluate("window.moved"))

    def close(self) -> None:
        """Leave; an answer that is still being made up for the page is nobody's any more."""
        self.context.unroute_all(behavior="ignoreErrors")
        self.page.unroute_all(behavior="ignoreErrors")
        self.context.close()

    def go(self, path: str) -> Any:
        self.page.goto(self.address + path)
        self.page.locator("h1").first.wait_for()  # a screen that waits for data is hidden
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


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose bot sees a bar every six seconds: its strategy leaves alone what a person does."""
    with House(tmp_path_factory.mktemp("quiet"), demo=True) as made:
        made.start_bot(QUIET)
        yield made


@pytest.fixture
def visitor(browser: Any, house: House) -> Iterator[Visitor]:
    made = Visitor(browser, house.address, base_url=house.address)
    yield made
    made.close()


def shot(page: Any, name: str) -> None:
    """Keep a picture of the whole page: CI holds them as artefacts."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    settle(page)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def settle(page: Any) -> None:
    """Wait until nothing is waited for or on its way from one colour to another: halfway, a label may be too pale."""
    page.evaluate(_SETTLED)


def barriers(page: Any) -> list[tuple[str, str]]:
    """Return what axe finds on a page that keeps somebody out, by WCAG 2.2 AA: none is not serious."""
    # The page's policy allows no foreign script; a debugger's evaluation is not bound by it.
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    settle(page)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (each["id"], each["nodes"][0]["html"][:200])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def told(field: Any) -> Any:
    """Return what stands at a field of a form about what is wrong with it."""
    playwright.expect(field).to_have_attribute("aria-describedby", re.compile("-error"))
    told = field.get_attribute("aria-describedby").split()
    return field.page.locator(", ".join(f'[id="{each}"]' for each in told if each.endswith("-error")))


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


def answering(page: Any, way: str, change: Callable[[Any], Any]) -> None:
    """Let the server tell what no bot on paper has."""

    def told(route: Any) -> None:
        if route.request.method != "GET":
            route.continue_()
            return
        answer = route.fetch()
        body = json.dumps(change(answer.json())) if answer.ok else answer.text()
        route.fulfill(response=answer, body=body)

    page.route(f"**{way}", told)


def cut_figures(page: Any) -> list[str]:
    """Return the figures and moments that are not shown whole."""
    settle(page)
    return list(page.evaluate(_CUT))


def the_proof_of_who_one_is_gets_old(house: House) -> None:
    with sqlite3.connect(house.program.userdir / "users.db") as users:
        users.execute("UPDATE sessions SET confirmed = confirmed - 600")
    users.close()


@contextmanager
def held(house: House) -> Iterator[None]:
    """Give a house the strategy `Held`, whose long backtests stand still halfway for as long as this lasts."""
    gate = house.folder / "gate"
    os.mkfifo(gate)
    house.program.strategy(_HELD.format(gate=str(gate)), "held.py")
    ours = os.open(gate, os.O_RDWR)  # nothing is ever written: who reads waits until this is closed
    try:
        yield
    finally:
        gate.unlink()
        os.close(ours)


@contextmanager
def exchange() -> Iterator[LocalExchange]:
    """Open a local exchange with 20,000 USDT of ours, in a thread of its own."""
    opened: list[LocalExchange] = []
    ready, ends = threading.Event(), []

    async def play() -> None:
        clock, end = WallClock(), asyncio.Event()
        ends.append((asyncio.get_running_loop(), end))
        market = generated(BTC, 5, clock.now(), pace=20.0, past_seconds=7_200)
        async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[ACCOUNT]) as made:
            made.desk.transfer(ACCOUNT, "USDT", Decimal(20_000), made.now)
            opened.append(made)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(play()))
    thread.start()
    try:
        assert ready.wait(60)
        yield opened[0]
    finally:
        for loop, end in ends:
            loop.call_soon_threadsafe(end.set)
        thread.join(30)
