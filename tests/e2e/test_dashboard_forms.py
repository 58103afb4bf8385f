"""Every form and dialog in a real page: how it looks, light, dark and on a phone, and what its fields say of flaws."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.dashboard import (
    BTC,
    QUIET,
    House,
    Visitor,
    barriers,
    browser,
    entered,
    playwright,
    pytestmark,
    shot,
    the_proof_of_who_one_is_gets_old,
    until,
)
from tests.e2e.forms import EMPTY, LONG, Flaw, faults, field_of, fill, send
from tests.unit.venues.keyed_venue import KEY, SECRET, KeyedVenue, on_loopback

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
PASSWORD, VAULT = "correct horse battery", "words that open the vault"
NONE = "NONE/USDT@BINANCE"
ORDER = {"strategy": "EmaCross", "instrument": "ETH/USDT@BINANCE", "quantity": "0.1"}
NAMES = [
    Flaw("Name", "", EMPTY),
    Flaw("Name", "two words", "Begin with a letter or digit"),
    Flaw("Name", "a" * 65, "64 in all"),
]
RANGES = [
    Flaw("Time range", "yesterday", "yesterday|Write days"),
    Flaw("Time range", "20250601-20250101", "ends before it starts"),
    Flaw("Time range", "20300101-20310101", "There are bars from"),
]
SUBJECT = [
    *RANGES,
    Flaw("Strategy", "Nobody", "Nobody", sent="config.strategies.0.strategy"),
    Flaw("Timeframe", "7x", "7x", sent="config.timeframe"),
    Flaw("Instruments", [NONE], "There are no bars of NONE", sent="config.instruments"),
    Flaw("Instruments", ["nonsense"], "nonsense", sent="config.instruments"),
]
"""What can be wrong with what research is about."""


class Case(NamedTuple):
    """A form: how it is opened, which button sends it, and what is put into it."""

    name: str
    open: Callable[[], Any]
    send: str
    flaws: list[Flaw]
    phone: bool = False


class People:
    """Somebody in a house with users, keys and a bot, who opens one form after the other."""

    def __init__(self, visitor: Visitor, house: House) -> None:
        self.visitor, self.page, self.house = visitor, visitor.page, house
        self.wrong: list[str] = []

    def ask(self, way: str, body: dict[str, Any]) -> Any:
        """Ask the server as whoever is logged in does, and return the answer."""
        ours = {"X-Abidance": "1", "Origin": self.house.address}
        answer = self.page.request.post(f"{self.house.address}/api/v1/{way}", data=body, headers=ours)
        assert answer.ok, answer.text()
        return answer.json()

    def get(self, way: str) -> Any:
        """Read something."""
        return self.page.request.get(f"{self.house.address}/api/v1/{way}").json()

    def look(self, name: str, theme: str = "dark") -> None:
        """Keep a picture of what is shown, and note what keeps somebody out."""
        scheme = "document.documentElement.setAttribute('data-mantine-color-scheme', '%s')"
        self.page.evaluate(scheme % theme)
        self.wrong += [f"{name}, {theme}: {each}" for each in barriers(self.page)]
        if self.page.locator("form form").count():
            self.wrong.append(f"{name}: a browser sends no form within another one")
        shot(self.page, name if theme == "dark" else f"{name}-{theme}")
        self.page.evaluate(scheme % "dark")

    def look_on_phone(self, name: str) -> None:
        """Look at it on a phone, too, where nothing may reach beyond the side."""
        self.page.set_viewport_size({"width": 390, "height": 844})
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if (width := self.page.evaluate("document.documentElement.scrollWidth")) > 390:
            self.wrong.append(f"{name}: {width} pixels on a phone")
        self.wrong += [f"{name}, phone: {each}" for each in barriers(self.page)]
        shot(self.page, f"{name}-phone")
        self.page.set_viewport_size({"width": 1360, "height": 900})

    def drive(self, case: Case) -> Any:
        """Look at a form, put into it all that is wrong, look again, and return it."""
        form = case.open()
        self.look(case.name)
        if case.phone:
            self.look_on_phone(case.name)
        self.wrong += [f"{case.name}: {each}" for each in faults(self.page, form, case.send, case.flaws)]
        self.look(case.name, "light")
        return form

    def settings(self, tab: str) -> Any:
        """Open a tab of the settings."""
        self.visitor.go("/settings").get_by_role("tab", name=tab, exact=True).click()
        return self.page.get_by_role("tabpanel", name=tab)

    def dialog(self, path: str, button: str) -> Any:
        """Open what a button of a screen opens."""
        self.visitor.go(path).get_by_role("button", name=button, exact=True).first.click()
        return self.page.get_by_role("dialog")


def entrance(people: People) -> Iterator[Case]:
    """The first admin, and logging in."""
    page, house = people.page, people.house
    token = re.findall(rb"^ +(\S+)$", house.log.read_bytes(), re.MULTILINE)[0].decode()

    def first() -> Any:
        page.goto(house.address)
        form = page.locator("form")
        for label, value in (("Token", token), ("Your name", "ada"), ("Password", PASSWORD)):
            field_of(form, label).fill(value)
        return form

    def login() -> Any:
        page.get_by_role("button", name="Log out").click()
        form = page.locator("form")
        field_of(form, "Name").fill("ada")
        field_of(form, "Password").fill(PASSWORD)
        return form

    words = [
        Flaw("Password", "", EMPTY),
        Flaw("Password", LONG, "1024 characters at most"),
    ]
    yield Case(
        "setup", first, "Make the admin and log in",
        [
            Flaw("Token", "", EMPTY), Flaw("Token", "guessed", "not the setup token"),
            Flaw("Your name", "", EMPTY), Flaw("Your name", "two words", "Begin with a letter"),
            Flaw("Your name", "a" * 65, "64 in all"), *words, Flaw("Password", "short", "too short"),
        ],
        phone=True,
    )  # fmt: skip
    yield Case(
        "login", login, "Log in",
        [
            Flaw("Name", "", EMPTY), Flaw("Name", "a" * 65, "64 characters at most"), *words,
            Flaw("Code of your authenticator", "1" * 33, "32 characters at most"),
        ],
        phone=True,
    )  # fmt: skip


def about_oneself(people: People) -> Iterator[Case]:
    """Password, second factor and tokens."""

    def password() -> Any:
        return people.settings("Me").locator("form")

    def factor() -> Any:
        panel = people.settings("Me")
        panel.get_by_role("button", name="Set it up").click()
        return panel.locator("form", has=people.page.get_by_label("Code"))

    def token() -> Any:
        form = people.settings("API tokens").locator("form")
        field_of(form, "Name").fill("mine")
        return form

    yield Case(
        "settings-me", password, "Change it",
        [
            Flaw("New password", "", EMPTY), Flaw("New password", "short", "too short"),
            Flaw("New password", LONG, "1024 characters at most"),
            Flaw("New password", "password1234", "among the first"),
        ],
        phone=True,
    )  # fmt: skip
    yield Case(
        "settings-second-factor", factor, "Turn it on",
        [
            Flaw("Code", "", EMPTY), Flaw("Code", "12", "6 characters or more"),
            Flaw("Code", "1" * 33, "32 characters at most"), Flaw("Code", "000000", "code"),
        ],
    )  # fmt: skip
    yield Case(
        "settings-tokens", token, "Make it",
        [
            *NAMES, Flaw("Days", "", EMPTY), Flaw("Days", "0", "1 or more"), Flaw("Days", "999", "365 or less"),
            Flaw("Only from", "nowhere", "nowhere"), Flaw("Role", "owner", "Choose", sent="role"),
            Flaw("Only for", ["all"], "Choose", sent="scopes"),
        ],
        phone=True,
    )  # fmt: skip


def about_others(people: People) -> Iterator[Case]:
    """Users."""

    def user() -> Any:
        people.settings("Users").get_by_role("button", name="Add a user").click()
        form = people.page.get_by_role("dialog")
        field_of(form, "Name").fill("vera")
        field_of(form, "Password").fill("another long sentence")
        return form

    def password() -> Any:
        people.settings("Users").get_by_role("button", name="Password").first.click()
        return people.page.get_by_role("dialog")

    yield Case(
        "new-user", user, "Add",
        [
            *NAMES, Flaw("Name", "ada", "ada"), Flaw("Password", "", EMPTY), Flaw("Password", "short", "too short"),
            Flaw("Password", LONG, "1024 characters at most"), Flaw("Role", "owner", "Choose", sent="role"),
        ],
    )  # fmt: skip
    yield Case(
        "another-password", password, "Give it",
        [Flaw("Password", "", EMPTY), Flaw("Password", "short", "too short"), Flaw("Password", LONG, "1024 characters at most")],
        phone=True,
    )  # fmt: skip


def about_keys(people: People) -> Iterator[Case]:
    """Keys, from the first one on, with which the vault is made."""

    def key() -> Any:
        people.settings("Venues and keys").get_by_role("button", name="Add a key").click()
        form = people.page.get_by_role("dialog")
        for label, value in (("Key", KEY), ("Secret", SECRET), ("Passphrase of the new vault", VAULT)):
            field_of(form, label).fill(value)
        return form

    def of_key(deed: str) -> Callable[[], Any]:
        def opened() -> Any:
            panel = people.settings("Venues and keys")
            panel.get_by_role("table", name="Keys").get_by_role("button", name=deed).click()
            form = people.page.get_by_role("dialog")
            if deed == "Rotate":
                for label, value in (("Key", KEY), ("Secret", SECRET)):
                    field_of(form, label).fill(value)
            field_of(form, "Passphrase of the vault").fill(VAULT)
            return form

        return opened

    wrong = Flaw("Passphrase of the vault", "not the words at all", "passphrase")
    secrets = [
        Flaw("Key", "", "is empty"), Flaw("Key", "two words", "blank|space"), Flaw("Key", "k" * 16_385, "16384 characters"),
        Flaw("Secret", "", "is empty"), Flaw("Secret", " ", "is empty"),
    ]  # fmt: skip
    yield Case(
        "new-key", key, "Check it, then add it",
        [
            *secrets, Flaw("Account", "", EMPTY), Flaw("Account", "a b", "account|name"),
            Flaw("Passphrase of the new vault", "short", "12"), Flaw("Venue", "NOWHERE", "NOWHERE", sent="venue"),
        ],
        phone=True,
    )  # fmt: skip
    yield Case("check-key", of_key("Check"), "Ask the venue", [wrong])
    yield Case("rotate-key", of_key("Rotate"), "Check it, then replace the old one", [*secrets, wrong])
    yield Case("forget-key", of_key("Remove"), "Forget it", [wrong])


def about_a_bot(people: People) -> Iterator[Case]:
    """A new bot, what it runs with, and what risk lets it do."""

    def bot() -> Any:
        return people.dialog("/strategies", "New bot")

    def live() -> Any:
        form = bot()
        form.get_by_text("Paper, live market").click()
        return form

    def real() -> Any:
        form = bot()
        form.get_by_text("Real orders").click()
        field_of(form, "Passphrase of the vault").fill(VAULT)
        field_of(form, "Type BINANCE to trade there with real money").fill("BINANCE")
        return form

    def on(path: str, name: str) -> Callable[[], Any]:
        return lambda: people.visitor.go(path).get_by_role("form", name=name)

    yield Case(
        "new-bot", bot, "Start it",
        [
            *NAMES, Flaw("Name", "bot", "is running"), *RANGES,
            Flaw("Speed", "", EMPTY), Flaw("Speed", "999999999", "or less"),
            Flaw("Money to begin with, USDT", "", EMPTY), Flaw("Money to begin with, USDT", "0", "above 0"),
            Flaw("Money to begin with, USDT", "9999999999999", "or less"),
            Flaw("fast", "", "fast"), Flaw("fast", "999", "fast"),
            Flaw("Strategy", "Nobody", "Nobody", sent="strategies.0.strategy"),
            Flaw("Timeframe", "7x", "such as 1h", sent="timeframe"),
            Flaw("Instruments", [NONE], "There are no bars of NONE", sent="instruments"),
            Flaw("Instruments", [], EMPTY),
        ],
        phone=True,
    )  # fmt: skip
    yield Case(
        "new-bot-live",
        live,
        "Start it",
        [Flaw("Instruments", "", EMPTY), Flaw("Instruments", "BTCUSDT", "BTCUSDT")],
    )
    yield Case(
        "new-bot-real", real, "Start it with real money",
        [
            Flaw("Type BINANCE to trade there with real money", "", "not confirmed"),
            Flaw("Type BINANCE to trade there with real money", "BINANSE", "not confirmed"),
            Flaw("Account", "", EMPTY), Flaw("Account", "a b", "Begin with a letter or digit"),
            Flaw("Use at most, USDT", "-5", "above 0"), Flaw("Passphrase of the vault", "not the words at all", "passphrase"),
        ],
    )  # fmt: skip
    yield Case(
        "strategy-parameters", on("/strategies", "Parameters of EmaCross"), "Apply to the running bot",
        [
            Flaw("fast", "", "fast"), Flaw("fast", "999", "fast"), Flaw("fast", "2.5", "whole"), Flaw("fast", "1e2", "fast"),
            Flaw("Share of capital, %", "0,5", "number"), Flaw("Share of capital, %", "", "above 0"), Flaw("Share of capital, %", "200", "1 or less"),
        ],
    )  # fmt: skip
    yield Case(
        "limits", on("/risk", "Limits"), "Apply to the running bot",
        [
            Flaw("Price collar, %", "250", "1 is 100 %"), Flaw("Price collar, %", "2,5", "number"), Flaw("Max positions", "2.5", "whole"), Flaw("Max positions", "-1", "or more|above"),
            Flaw("Max positions", "99999999999", "or less"), Flaw("Max leverage, ×", "0", "above 0"),
            Flaw("Duplicate window, s", "9999999", "or less"), Flaw("Max positions", "", "cannot be off"), Flaw("Price collar, %", "", "cannot be off"),
        ],
    )  # fmt: skip
    yield Case(
        "breakers", on("/risk", "Breakers"), "Apply to the running bot",
        [
            Flaw("Daily loss, %", "250", "1 is 100 %"), Flaw("Max drawdown, %", "0", "above 0"),
            Flaw("Losing streak, losses in a row", "1", "2 or more"), Flaw("Volatility spike, × the usual range", "0.5", "above 1"),
        ],
    )  # fmt: skip


def about_orders(people: People) -> Iterator[Case]:
    """Orders by hand, and the notes on what became of them: one rests, and a round trip is over."""

    def by_hand(kind: str) -> Callable[[], Any]:
        def opened() -> Any:
            form = people.dialog("/orders", "Order by hand")
            if kind != "market":
                field_of(form, "Type").click()
                people.page.get_by_role("option", name=kind).click()
            field_of(form, "Quantity").fill("0.001")
            return form

        return opened

    def change() -> Any:
        rows = people.visitor.go("/orders").get_by_role("table", name="Open orders").locator(".table-row")
        rows.filter(has_text="Limit").get_by_role("button", name="Change").click()
        return people.page.get_by_role("dialog")

    def notes() -> Any:
        people.visitor.go("/round-trips")
        people.page.get_by_role("table", name="Closed round trips").locator(".table-row").first.click()
        return people.page.get_by_role("form", name="Notes")

    yield Case(
        "change-order", change, "Ask risk, then change it",
        [
            Flaw("Quantity", "", EMPTY), Flaw("Quantity", "much", "Write a number"), Flaw("Quantity", "0", "above 0"),
            Flaw("Limit price", "", EMPTY), Flaw("Limit price", "cheap", "Write a number"),
        ],
    )  # fmt: skip
    yield Case(
        "order-by-hand", by_hand("market"), "Ask risk, then send",
        [
            Flaw("Quantity", "", EMPTY), Flaw("Quantity", "much", "Write a number"), Flaw("Quantity", "0", "above 0"),
            Flaw("Quantity", "-1", "above 0"), Flaw("Quantity", "1" * 40, "digits"),
            Flaw("Stop-loss distance", "0", "above 0"), Flaw("Stop-loss distance", "1.5.0", "number"), Flaw("Stop-loss distance", "9" * 400, "number|or less"), Flaw("Stop-loss distance", "99999999999999", "or less"),
            Flaw("Strategy whose capital it uses", "Nobody", "Nobody", sent="strategy"),
            Flaw("Side", "up", "Choose", sent="side"), Flaw("Type", "fancy", "Choose", sent="type"),
            Flaw("Instrument", "?", "3 characters or more", sent="instrument"),
        ],
        phone=True,
    )  # fmt: skip
    yield Case(
        "order-by-hand-limit", by_hand("limit"), "Ask risk, then send",
        [Flaw("Limit price", "", EMPTY), Flaw("Limit price", "cheap", "Write a number"), Flaw("Limit price", "-1", "above 0")],
    )  # fmt: skip
    yield Case(
        "order-by-hand-stop", by_hand("stop"), "Ask risk, then send",
        [Flaw("Trigger", "", EMPTY), Flaw("Trigger", "cheap", "Write a number"), Flaw("Trigger", "0", "above 0")],
    )  # fmt: skip
    yield Case(
        "order-by-hand-take-profit", by_hand("take-profit"), "Ask risk, then send", [Flaw("Trigger", "", EMPTY)],
    )  # fmt: skip
    yield Case(
        "round-trip-notes", notes, "Keep it",
        [Flaw("Note", "x" * 4_001, "4000 characters at most", sent="note"), Flaw("Labels", ["y" * 33], "32 characters")],
    )  # fmt: skip


def about_research(people: People) -> Iterator[Case]:
    """Backtests, searches and downloads."""

    def at(path: str) -> Callable[[], Any]:
        return lambda: people.visitor.go(path).get_by_role("main").locator("form").first

    def filled() -> Any:
        form = at("/data")()
        fill(field_of(form, "Instruments"), [BTC])
        return form

    yield Case(
        "new-backtest", at("/backtests"), "Start",
        [
            *SUBJECT, Flaw("Wallet, USDT", "", "above 0"), Flaw("Wallet, USDT", "0", "above 0"), Flaw("Wallet, USDT", "10,000", "number"), Flaw("Wallet, USDT", "9" * 400, "number|less"),
            Flaw("fast", "", "fast"), Flaw("fast", "999", "fast"), Flaw("Instruments", [], "Name one or more"),
        ],
    )  # fmt: skip
    yield Case(
        "new-search", at("/optimise"), "Search",
        [
            *SUBJECT, Flaw("Search until", "soon", "20240601"), Flaw("Search until", "20300101", "not inside"),
            Flaw("Trials", "0", "1 or more"), Flaw("Trials", "2.5", "whole"), Flaw("Trials", "1e2", "number"), Flaw("Trials", "999999", "100000 or less"),
            Flaw("fast", "9:3", "fast"), Flaw("fast", "many", "fast"), Flaw("fast", "🙂/", "."), Flaw("fast", "9," * 200, "."),
            Flaw("Sampler", "luck", "Choose", sent="sampler"), Flaw("Objectives", ["luck"], "luck", sent="objectives"),
            Flaw("Objectives", [], EMPTY),
        ],
    )  # fmt: skip
    yield Case(
        "new-download", at("/data"), "Download",
        [
            Flaw("Instruments", [], EMPTY), Flaw("Instruments", ["nonsense"], "nonsense"),
            Flaw("Instruments", [BTC, "BTC/USDT@"], "BTC/USDT@"),
        ],
    )  # fmt: skip
    yield Case(
        "new-download-times", filled, "Download",
        [
            Flaw("Time range", "yesterday", "yesterday"), Flaw("Time range", "22000101-", "not begun"),
            Flaw("Timeframes", ["7x"], "7x", sent="timeframes"),
        ],
    )  # fmt: skip


def traded(people: People) -> None:
    """Let the bot enter, leave and have something rest, as long as its strategy wishes nothing: for 27 bars."""
    people.ask("runs/bot/orders", {**ORDER, "side": "buy"})
    until(lambda: people.get("runs/bot/positions"), "the entry has filled")
    people.ask("runs/bot/orders", {**ORDER, "side": "sell"})
    until(lambda: people.get("runs/bot/round-trips")["items"], "the exit has filled")
    people.ask("runs/bot/orders", {**ORDER, "side": "buy", "type": "limit", "price": "900"})


def locked(people: People) -> None:
    """Have a key in a vault."""
    people.ask("keys", {"venue": "BINANCE", "account": "main", "key": KEY, "secret": SECRET, "vault": VAULT})


@contextmanager
def moved_in(browser: Any, folder: Path) -> Iterator[People]:
    """Open a house with a bot, and a venue that checks keys."""
    with on_loopback(KeyedVenue("BINANCE", time.time_ns())) as settings, House(folder, demo=False) as house:
        (house.program.userdir / "config.toml").write_text(settings)
        house.start_bot(QUIET)
        people = People(Visitor(browser, house.address), house)
        yield people
        people.visitor.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_way_in_says_at_its_fields_what_is_wrong_and_all_settings_are_fit_to_be_seen(
    browser: Any, tmp_path: Path
) -> None:
    with moved_in(browser, tmp_path) as people:
        for case in entrance(people):
            send(people.page, people.drive(case), case.send)
            people.page.get_by_role("link", name="Settings").wait_for()

        people.wrong += seen(people)

        assert not people.wrong, "\n\n".join(people.wrong)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("kinds", "before"),
    [
        pytest.param((about_oneself, about_others, about_keys), None, id="people"),
        pytest.param((about_a_bot,), locked, id="a bot"),
        pytest.param((about_orders,), traded, id="orders"),
        pytest.param((about_research,), None, id="research"),
    ],
)
def test_every_form_says_at_its_field_what_is_wrong_and_every_dialog_is_fit_to_be_seen(
    browser: Any,
    tmp_path: Path,
    kinds: tuple[Callable[[People], Iterator[Case]], ...],
    before: Callable[[People], None] | None,
) -> None:
    with moved_in(browser, tmp_path) as people:
        entered(people.visitor, people.house)
        until(lambda: any(each["is_running"] for each in people.get("runs")), "the bot is seen")
        if before:
            before(people)

        for case in chain.from_iterable(cases(people) for cases in kinds):
            form = people.drive(case)
            if case.name == "new-key":
                send(people.page, form, case.send)
                people.page.get_by_text("It may:").wait_for()
                people.look("key-checked")

        assert not people.wrong, "\n\n".join(people.wrong)


def seen(people: People) -> Iterator[str]:
    """Look at what has no field: the other tabs of the settings, what asks before it acts; and prove who one is."""
    page = people.page
    for tab in ("Sessions", "Users", "Audit", "Notifications", "Appearance", "About"):
        people.settings(tab).locator("section").first.wait_for()
        name = f"settings-{tab.lower()}"
        people.look(name)
        people.look(name, "light")
        people.look_on_phone(name)
    people.dialog("/", "Kill")
    people.look("kill")
    people.look("kill", "light")
    people.look_on_phone("kill")

    own, code = "Your password, once more", "Code, if you have an authenticator"

    def stale() -> Any:
        people.settings("Users").get_by_role("button", name="Add a user").click()
        form = page.get_by_role("dialog")
        fill(field_of(form, "Name"), "vera")
        fill(field_of(form, "Password"), "another long sentence")
        the_proof_of_who_one_is_gets_old(people.house)
        form.get_by_role("button", name="Add", exact=True).click()
        fill(form.get_by_label(own), PASSWORD)
        return form

    before = len(people.wrong)
    flaws = [
        Flaw(own, "", EMPTY),
        Flaw(own, LONG, "1024 characters at most"),
        Flaw(own, "wrong", "wrong"),
        Flaw(code, "1" * 33, "32 characters at most"),
    ]
    form = people.drive(Case("step-up", stale, "Confirm", flaws, phone=True))
    yield from people.wrong[before:]
    send(page, form, "Confirm")
    playwright.expect(page.get_by_role("table", name="Users").get_by_text("vera")).to_be_visible()
