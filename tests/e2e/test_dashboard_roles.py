"""Who may do what in the browser, and how one gets about there without a mouse."""

from typing import Any

import pytest

from tests.e2e.dashboard import (
    BTC,
    CIRCUIT,
    SCREENS,
    House,
    Visitor,
    answering,
    browser,
    entered,
    held,
    house,
    playwright,
    pytestmark,
    until,
    visitor,
)

__all__ = ["browser", "house", "pytestmark", "visitor"]  # fixtures, and what all tests of the dashboard need
ROLES = ("viewer", "operator", "admin")
PASSWORD = "another long sentence"
SLOW = 1_200
"""Times as fast as the market: the strategy wishes nothing for 27 bars of three seconds."""
MATRIX = {  # screen: what acts there, and the least role that is offered it
    "/": [("button", "Kill", "operator"), ("button", "Release", "operator")],
    "/strategies": [
        ("button", "New bot", "operator"),
        ("button", "Stop the bot", "operator"),
        ("button", "Pause entries", "operator"),
        ("button", "Stop", "operator"),
        ("button", "Parameters of EmaCross: Apply to the running bot", "operator"),
    ],
    "/orders": [
        ("button", "Order by hand", "operator"),
        ("button", "Close", "operator"),
        ("button", "Change", "operator"),
        ("button", "Cancel", "operator"),
    ],
    "/round-trips": [("button", "Keep it", "operator")],
    "/risk": [
        ("button", "Limits: Apply to the running bot", "admin"),
        ("button", "Breakers: Apply to the running bot", "admin"),
        ("button", "Close it by hand", "admin"),
    ],
    "/backtests": [("button", "Start", "operator"), ("button", "Judge it", "operator")],
    "/optimise": [
        ("button", "Search", "operator"),
        ("combobox", "Running bot", "operator"),
        ("button", "Backtest trial 0", "operator"),
        ("button", "New bot with trial 0", "operator"),
        ("button", "Write trial 0 as a file", "operator"),
    ],
    "/data": [("button", "Download", "operator")],
    "/settings": [
        ("tab", "Me", "viewer"),
        ("tab", "API tokens", "viewer"),
        ("tab", "Users", "admin"),
        ("tab", "Audit", "admin"),
        ("tab", "Venues and keys", "admin"),
        ("button", "Add a user", "admin"),
    ],
    "/settings of keys": [
        ("button", "Add a key", "admin"),
        ("button", "Check", "admin"),
        ("button", "Rotate", "admin"),
        ("button", "Remove", "admin"),
    ],
    "/strategies of over": [("button", "New bot", "operator"), ("button", "Start it again", "operator")],
}
"""Screens that only show are left out, and `over` is a bot that has ended. A name that several forms have stands behind
the form's."""
OPENED = {  # what is opened first, and what then is there for everybody
    "/orders": ("", ".table-row >> text=Limit"),
    "/round-trips": ("[aria-label='Closed round trips'] .table-row", "[role=dialog] form"),
    "/backtests": (".backtest >> role=button[name='short']", "[aria-label=Verdict]"),
    "/settings": ("role=tab[name='Users']", "role=tabpanel"),
    "/settings of keys": ("role=tab[name=/^Venues/]", "[aria-label=Venues] .table-row"),
    "/strategies of over": ("role=option[name='over (stopped)']", "main >> text=Trades BTC/USDT"),
    "/optimise": (".search >> role=button[name='one']", "[aria-label=Trials]"),
}
WORK = {
    "instruments": [BTC],
    "timeframe": "1d",
    "timerange": "20240101-20240601",
    "strategies": [{"strategy": "EmaCross"}],
}
OVER = {
    "name": "over",
    "strategies": WORK["strategies"],
    "instruments": [BTC],
    "timeframe": "1h",
    "timerange": "20250101-20250105",
    "speed": 1e9,
}
"""A bot that ends by itself, and can be started again."""
KEY = {"venue": "BINANCE", "account": "main"}
"""One that is in a vault: the house has none."""
ORDER = {"strategy": "EmaCross", "instrument": "ETH/USDT@BINANCE", "quantity": "0.1"}


def asked(page: Any, house: House, way: str, body: dict[str, Any]) -> Any:
    """Ask the server as whoever is logged in does, and return the answer."""
    ours = {"X-Abidance": "1", "Origin": house.address}
    answer = page.request.post(f"{house.address}/api/v1/{way}", data=body, headers=ours)
    assert answer.ok, answer.text()
    return answer.json()


def filled(page: Any, house: House) -> None:
    """Leave a round trip, a position, an order that rests, a backtest, a search and a bot that has ended behind."""
    asked(page, house, "bots", OVER)
    over = f"{house.address}/api/v1/runs/over"
    until(lambda: page.request.get(over).ok and not page.request.get(over).json()["is_running"], "its end")
    works: dict[str, dict[str, Any]] = {
        "backtests": {"label": "short", "config": WORK},
        "searches": {"label": "one", "config": WORK, "spaces": ["fast=3", "slow=9,10"], "trials": 1},
    }
    for way, body in works.items():
        done = f"{house.address}/api/v1/{way}/{asked(page, house, way, body)['id']}"
        until(lambda: page.request.get(done).json()["finished"], way)  # noqa: B023
        assert page.request.get(done).json()["error"] == ""
    house.start_bot(SLOW)
    until(lambda: page.request.get(f"{house.address}/api/v1/runs/bot").ok, "the bot is seen")
    orders = "runs/bot/orders"
    for number, side in enumerate(("buy", "sell", "buy"), 1):
        asked(page, house, orders, ORDER | {"side": side})
        fills = f"{house.address}/api/v1/runs/bot/fills?instrument={ORDER['instrument']}"
        until(lambda: len(page.request.get(fills).json()["items"]) >= number, f"{number} fills")  # noqa: B023
    asked(page, house, orders, ORDER | {"side": "buy", "type": "limit", "price": "900"})


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("kernels_are_compiled")
def test_each_role_is_offered_what_it_may_do_and_nothing_else(browser: Any, tmp_path: Any) -> None:
    with House(tmp_path, demo=False) as house:
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        for role in ROLES:
            asked(page, house, "users", {"name": f"some-{role}", "password": PASSWORD, "role": role})
        filled(page, house)
        admin.close()

        offered: dict[tuple[str, str], list[str]] = {}
        for role in ROLES:
            visitor = Visitor(browser, house.address)
            forbidden: list[str] = []
            visitor.page.on(
                "response", lambda answer, seen=forbidden: answer.status == 403 and seen.append(answer.url)
            )
            page = visitor.page
            answering(page, "/api/v1/runs", lambda runs: [each | {"killed": "entries"} for each in runs])
            answering(page, "/api/v1/runs/*/risk", lambda risk: risk | {"circuits": [CIRCUIT]})
            answering(page, "/api/v1/keys", lambda found: found | {"keys": [KEY]})
            asked(page, house, "session", {"name": f"some-{role}", "password": PASSWORD})
            visitor.go("/")
            for path, controls in MATRIX.items():
                screen, _, of = path.partition(" of ")
                page.get_by_role("link", name=SCREENS[screen], exact=True).click()
                page.get_by_role("heading", name=SCREENS[screen], exact=True).first.wait_for()
                if of == "over":
                    page.get_by_role("combobox", name="Run").click()
                opened, there = OPENED.get(path, ("", "main"))
                if opened and (role == "admin" or path != "/settings"):
                    page.locator(opened).first.click()
                page.locator(there).first.wait_for()
                for kind, name, least in controls:
                    form, _, control = name.rpartition(": ")
                    place = page.get_by_role("form", name=form, exact=True) if form else page
                    found = place.get_by_role(kind, name=control, exact=True)
                    if ROLES.index(role) >= ROLES.index(least):
                        found.first.wait_for()
                    if found.count():
                        offered.setdefault((path, name), []).append(role)
                if page.get_by_role("dialog").count():
                    page.keyboard.press("Escape")
            assert forbidden == [], role  # no screen asks for what its visitor may not see
            visitor.close()

        wanted = {
            (path, name): [*ROLES[ROLES.index(least) :]]
            for path, controls in MATRIX.items()
            for _, name, least in controls
        }
        assert offered == wanted


def test_a_backtest_is_cancelled_by_those_alone_who_may(browser: Any, tmp_path: Any) -> None:
    with House(tmp_path, demo=False) as house, held(house):
        ours = {"X-Abidance": "1", "Origin": house.address}
        admin, viewer = Visitor(browser, house.address), Visitor(browser, house.address)
        asks = entered(admin, house).request
        known = {"name": "vera", "password": PASSWORD}
        assert asks.post(f"{house.address}/api/v1/users", data={**known, "role": "viewer"}, headers=ours).ok
        config = {"instruments": [BTC], "timeframe": "1h", "strategies": [{"strategy": "Held"}]}
        work = {"label": "long work", "config": config}
        started = asks.post(f"{house.address}/api/v1/backtests", data=work, headers=ours)
        assert started.ok, started.text()
        assert viewer.page.request.post(f"{house.address}/api/v1/session", data=known, headers=ours).ok

        seen, own = (each.go("/backtests").locator(".backtest").first for each in (viewer, admin))
        seen.get_by_role("progressbar").wait_for()
        assert seen.get_by_role("button", name="Cancel").count() == 0
        for who, count in ((viewer, 0), (admin, 1)):
            jobs = who.go("/jobs").get_by_role("table", name="Jobs")
            jobs.get_by_role("progressbar").wait_for()
            assert jobs.get_by_role("button", name="Cancel").count() == count
        own = admin.go("/backtests").locator(".backtest").first
        own.get_by_role("button", name="Cancel").click()
        own.get_by_text("cancelled", exact=True).wait_for()
        viewer.close()
        admin.close()


def test_the_keyboard_alone_reaches_every_screen_and_shows_where_it_is(visitor: Visitor) -> None:
    page = visitor.go("/")
    page.keyboard.press("Control+k")
    playwright.expect(page.get_by_placeholder("Screen or command")).to_be_focused()
    page.keyboard.type("round")
    page.get_by_role("button", name="Round trips").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Round trips").wait_for()
    assert page.url.endswith("/round-trips")

    page = visitor.go("/orders")
    page.get_by_role("table", name="All orders").wait_for()
    reached: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "(each => [each.getAttribute('aria-label') ?? each.innerText, getComputedStyle(each)])(document.activeElement)"
            ".map((each, at) => at ? [each.outlineStyle, each.outlineWidth, each.borderColor].join(' ') : each)"
        )
        reached.append(name.strip())
        assert not outline.startswith("none 0px") or "rgb(16, 152, 173)" in outline, (name, outline)
    for name in (
        "Skip to the screen",
        "Overview",
        "Run",
        "Light colours",
        "Kill",
        "Order by hand",
        "All orders",
    ):
        assert name in reached, (name, reached)
    row = page.get_by_role("table", name="All orders").locator(".table-row").first.element_handle()
    row.focus()  # this very row: the bot goes on, and others come to stand above it
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_text("Asked of risk").wait_for()
    page.keyboard.press("Escape")
    playwright.expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function("each => each === document.activeElement", arg=row)
