"""The palette of the dashboard: what it offers to whom; a deed leads to its control, and does nothing by itself."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.dashboard import (
    House,
    Visitor,
    barriers,
    browser,
    entered,
    playwright,
    pytestmark,
    settle,
    shot,
    until,
)
from tests.e2e.test_dashboard_roles import PASSWORD, ROLES, SLOW, asked

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
DEEDS = {  # what is offered while the bot `bot` runs, and the least role that it is offered to
    "Order by hand": "operator",
    "Pause entries: EmaCross": "operator",
    "Stop: EmaCross": "operator",
    "Change parameters: EmaCross": "operator",
    "Kill switch": "operator",
    "Stop the bot": "operator",
    "New bot": "operator",
    "New backtest": "operator",
    "New search for parameters": "operator",
    "Download data": "operator",
    "Change limits": "admin",
    "Change breakers": "admin",
    "Look at other": "viewer",
    "Light or dark colours": "viewer",
    "Appearance": "viewer",
    "Log out": "viewer",
}
DIALOGS = {  # deeds that open a dialog, and what it is called
    "Order by hand": "Order by hand: bot",
    "Kill switch": "Stop bot at once",
    "New bot": "Start a new bot",
}
CURSORS = {  # deeds that lead to a control, which a person then presses or fills in: its screen, role, name and form
    "Pause entries: EmaCross": ("/strategies", "button", "Pause entries", None),
    "Stop: EmaCross": ("/strategies", "button", "Stop", None),
    "Stop the bot": ("/strategies", "button", "Stop the bot", None),
    "Change parameters: EmaCross": ("/strategies", "textbox", "fast", "Parameters of EmaCross"),
    "Change limits": ("/risk", "textbox", "Max exposure, %", "Limits"),
    "Change breakers": ("/risk", "textbox", "Daily loss, %", "Breakers"),
    "New backtest": ("/backtests", "combobox", "Strategy", None),
    "New search for parameters": ("/optimise", "combobox", "Strategy", None),
    "Download data": ("/data", "combobox", "Instruments", None),
    "Appearance": ("/settings", "tab", "Appearance", None),
}


@pytest.fixture(scope="module")
def peopled(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with one user of each role and two bots, `bot` and `other`."""
    with House(tmp_path_factory.mktemp("palette"), demo=False) as house:
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        for role in ROLES:
            asked(page, house, "users", {"name": f"some-{role}", "password": PASSWORD, "role": role})
        for name in ("other", "bot"):
            house.start_bot(SLOW, name)
            until(lambda: page.request.get(f"{house.address}/api/v1/runs/{name}").ok, name)  # noqa: B023
        admin.close()
        yield house


def visiting(browser: Any, house: House, role: str, **given: Any) -> Visitor:
    """Log somebody of a role in, who looks at `bot`."""
    visitor = Visitor(browser, house.address, **given)
    asked(visitor.page, house, "session", {"name": f"some-{role}", "password": PASSWORD})
    visitor.page.add_init_script(
        "localStorage.getItem('abidance.run') ?? localStorage.setItem('abidance.run', 'bot')"
    )
    return visitor


def palette(page: Any) -> Any:
    """Open the palette by the keyboard, and return it when all that it offers has come."""
    page.keyboard.press("Control+k")
    field = page.get_by_placeholder("Screen or command")
    playwright.expect(field).to_be_focused()
    page.wait_for_load_state("networkidle")
    return page.get_by_role("dialog").filter(has=field)


def chosen(page: Any, label: str) -> None:
    """Choose something of the palette, by the keyboard alone."""
    offered = palette(page)
    page.keyboard.type(label)
    playwright.expect(offered.locator("[data-action][data-selected]")).to_have_text(label)
    page.keyboard.press("Enter")
    playwright.expect(page.get_by_placeholder("Screen or command")).to_have_count(0)


def stands(page: Any, house: House, run: str = "bot") -> tuple[str, list[str]]:
    """Return how a bot and its strategies stand."""
    way = f"{house.address}/api/v1/runs/{run}"
    strategies = page.request.get(f"{way}/strategies").json()
    return page.request.get(way).json()["standing"]["state"], [each["status"] for each in strategies]


def test_each_role_is_offered_the_deeds_that_it_may_do_and_no_others(browser: Any, peopled: House) -> None:
    offered: dict[str, list[str]] = {}
    for role in ROLES:
        visitor = visiting(browser, peopled, role)
        page = visitor.go("/")
        page.locator(".link-live").wait_for()
        found = palette(page)
        if role != "viewer":
            found.get_by_role("button", name="Pause entries: EmaCross").wait_for()
        for label in found.locator("[data-action]").all_inner_texts():
            offered.setdefault(label, []).append(role)
        assert barriers(page) == [], role
        shot(page, f"palette-{role}")
        assert visitor.faults == []
        visitor.close()

    screens = {label for label, roles in offered.items() if label not in DEEDS}
    assert {"Overview", "Settings"} <= screens
    assert len(screens) == 14
    wanted = {label: [*ROLES[ROLES.index(least) :]] for label, least in DEEDS.items()}
    assert {label: roles for label, roles in offered.items() if label in DEEDS} == wanted
    assert all(offered[each] == [*ROLES] for each in screens)


@pytest.mark.slow
def test_a_deed_leads_to_the_very_dialog_or_control_and_does_nothing_by_itself(
    browser: Any, peopled: House
) -> None:
    visitor = visiting(browser, peopled, "admin")
    page = visitor.go("/portfolio")
    for label, title in DIALOGS.items():
        chosen(page, label)
        dialog = page.get_by_role("dialog", name=title)
        dialog.wait_for()
        assert dialog.evaluate("each => each.contains(document.activeElement)"), label
        assert barriers(page) == [], label
        page.keyboard.press("Escape")
        playwright.expect(page.get_by_role("dialog")).to_have_count(0)
    for label, (path, role, name, form) in CURSORS.items():
        chosen(page, label)
        page.wait_for_url(f"**{path}")
        place = page.get_by_role("form", name=form, exact=True) if form else page.locator("main")
        playwright.expect(place.get_by_role(role, name=name, exact=True).first).to_be_focused()
        assert page.get_by_role("dialog").count() == 0, label
    playwright.expect(page.get_by_role("tab", name="Appearance")).to_have_attribute("aria-selected", "true")

    assert stands(page, peopled) == ("active", ["active"])
    assert page.request.get(f"{peopled.address}/api/v1/runs/bot").json()["is_running"]
    chosen(page, "Light or dark colours")
    page.get_by_role("button", name="Dark colours").wait_for()
    assert visitor.faults == []
    chosen(page, "Log out")
    page.get_by_role("button", name="Log in").wait_for()
    visitor.close()


def test_a_key_that_is_held_down_opens_the_kill_switch_and_does_not_throw_it(
    browser: Any, peopled: House
) -> None:
    visitor = visiting(browser, peopled, "operator")
    page = visitor.go("/")
    offered = palette(page)
    page.keyboard.type("Kill switch")
    playwright.expect(offered.locator("[data-selected]")).to_have_text("Kill switch")
    page.keyboard.down("Enter")
    throw = page.get_by_role("dialog", name="Stop bot at once").get_by_role("button", name="Stop it")
    playwright.expect(throw).to_be_focused()

    for _ in range(3):
        page.keyboard.down("Enter")  # it repeats
    page.keyboard.up("Enter")

    playwright.expect(throw).to_be_focused()
    assert stands(page, peopled)[0] == "active"
    page.keyboard.press("Escape")
    chosen(page, "Pause entries: EmaCross")
    button = page.get_by_role("button", name="Pause entries")
    playwright.expect(button).to_be_focused()
    page.keyboard.press("Enter")
    page.locator("main").get_by_text("paused", exact=True).first.wait_for()
    assert stands(page, peopled)[1] == ["paused"]
    offered = palette(page)
    labels = offered.locator("[data-action]").all_inner_texts()
    assert {"Start: EmaCross", "Stop: EmaCross"} < set(labels)
    assert "Pause entries: EmaCross" not in labels
    page.keyboard.press("Escape")
    chosen(page, "Start: EmaCross")
    playwright.expect(page.get_by_role("button", name="Start", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    button.wait_for()
    assert visitor.faults == []
    visitor.close()


def test_deeds_are_about_the_bot_that_is_looked_at(browser: Any, peopled: House) -> None:
    visitor = visiting(browser, peopled, "operator")
    page = visitor.go("/")
    playwright.expect(page.get_by_role("combobox", name="Run")).to_have_value("bot")

    chosen(page, "Look at other")

    playwright.expect(page.get_by_role("combobox", name="Run")).to_have_value("other")
    chosen(page, "Order by hand")
    page.get_by_role("dialog", name="Order by hand: other").wait_for()
    page.keyboard.press("Escape")
    chosen(page, "Kill switch")
    page.get_by_role("dialog", name="Stop other at once").get_by_role("button", name="Stop it").click()
    page.get_by_role("button", name="Release").wait_for()
    assert stands(page, peopled, "other")[0] == "halted"
    assert stands(page, peopled)[0] == "active"
    chosen(page, "Release the kill switch")
    page.get_by_role("dialog", name="Release other").wait_for()
    visitor.close()


def test_whoever_does_something_else_meanwhile_has_given_the_deed_up(browser: Any, peopled: House) -> None:
    visitor = visiting(browser, peopled, "operator")
    page = visitor.go("/")
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/strategies/EmaCross/schema", hold)
    chosen(page, "Change parameters: EmaCross")
    page.get_by_role("heading", name="Strategies", exact=True).wait_for()
    page.locator("main").click(position={"x": 2, "y": 2})

    assert len(held) == 1
    held[0].continue_()

    field = page.get_by_role("form", name="Parameters of EmaCross").get_by_role("textbox", name="fast")
    field.wait_for()
    settle(page)
    playwright.expect(field).not_to_be_focused()
    visitor.close()


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_has_a_button_for_the_palette(browser: Any, peopled: House, width: int) -> None:
    visitor = visiting(browser, peopled, "operator", viewport={"width": width, "height": 780}, has_touch=True)
    for path in ("/", "/settings"):  # the first screen and the last one: the row of screens scrolls
        page = visitor.go(path)
        settle(page)
        button = page.get_by_role("button", name="Commands")
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) >= 24
        button.tap()
        field = page.get_by_role("textbox", name="Command")
        playwright.expect(field).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert barriers(page) == []
        shot(page, f"palette-phone-{width}-{path.strip('/') or 'overview'}")
        page.get_by_role("button", name="Order by hand").tap()
        page.get_by_role("dialog", name="Order by hand: bot").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert visitor.faults == []
    visitor.close()
