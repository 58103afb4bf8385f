"""Who may do what in the browser, and how one gets about there without a mouse."""

from typing import Any

import pytest

from tests.e2e.dashboard import (
    BTC,
    SCREENS,
    House,
    Visitor,
    browser,
    entered,
    held,
    house,
    playwright,
    pytestmark,
    visitor,
)

__all__ = ["browser", "house", "pytestmark", "visitor"]  # fixtures, and what all tests of the dashboard need
ROLES = ("viewer", "operator", "admin")
PASSWORD = "another long sentence"
MATRIX = {  # screen: what acts there, and the least role that is offered it
    "/": [("button", "Kill", "operator")],
    "/strategies": [
        ("button", "New bot", "operator"),
        ("button", "Stop the bot", "operator"),
        ("button", "Pause entries", "operator"),
        ("button", "Apply to the running bot", "operator"),
    ],
    "/orders": [("button", "Order by hand", "operator")],
    "/risk": [("button", "Apply to the running bot", "admin")],
    "/backtests": [("button", "Start", "operator")],
    "/optimise": [("button", "Search", "operator")],
    "/data": [("button", "Download", "operator")],
    "/settings": [
        ("tab", "Me", "viewer"),
        ("tab", "API tokens", "viewer"),
        ("tab", "Users", "admin"),
        ("tab", "Audit", "admin"),
        ("tab", "Venues and keys", "admin"),
    ],
}
"""Screens that only show are left out."""


@pytest.mark.timeout(300)
def test_each_role_is_offered_what_it_may_do_and_nothing_else(browser: Any, tmp_path: Any) -> None:
    with House(tmp_path, demo=False) as house:
        house.start_bot()
        ours = {"X-Abidance": "1", "Origin": house.address}
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        for role in ROLES:
            made = page.request.post(
                f"{house.address}/api/v1/users",
                data={"name": f"some-{role}", "password": PASSWORD, "role": role},
                headers=ours,
            )
            assert made.ok, made.text()
        admin.context.close()

        offered: dict[tuple[str, str], list[str]] = {}
        for role in ROLES:
            visitor = Visitor(browser, house.address)
            forbidden: list[str] = []
            visitor.page.on(
                "response", lambda answer, seen=forbidden: answer.status == 403 and seen.append(answer.url)
            )
            page = visitor.page
            known = {"name": f"some-{role}", "password": PASSWORD}
            assert page.request.post(f"{house.address}/api/v1/session", data=known, headers=ours).ok
            visitor.go("/")
            for path, controls in MATRIX.items():
                page.get_by_role("link", name=SCREENS[path], exact=True).click()
                page.get_by_role("heading", name=SCREENS[path], exact=True).first.wait_for()
                for kind, name, _ in controls:
                    if page.get_by_role(kind, name=name, exact=True).count():
                        offered.setdefault((path, name), []).append(role)
            assert forbidden == [], role  # no screen asks for what its visitor may not see
            visitor.context.close()

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
        own.get_by_role("button", name="Cancel").click()
        own.get_by_text("cancelled", exact=True).wait_for()
        viewer.context.close()
        admin.context.close()


def test_the_keyboard_alone_reaches_every_screen_and_shows_where_it_is(visitor: Visitor) -> None:
    page = visitor.go("/")
    page.keyboard.press("Control+k")
    playwright.expect(page.get_by_placeholder("Go to…")).to_be_focused()
    page.keyboard.type("round")
    page.get_by_role("button", name="Round trips").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Round trips").wait_for()
    assert page.url.endswith("/round-trips")

    page = visitor.go("/orders")
    page.get_by_role("table", name="All orders").wait_for(timeout=60_000)
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
