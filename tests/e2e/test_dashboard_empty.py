"""The dashboard before anything was done: each screen says what will stand there and what to do for it."""

from typing import Any

import pytest

from tests.e2e.dashboard import (
    SCREENS,
    STILL,
    House,
    Visitor,
    barriers,
    browser,
    playwright,
    pytestmark,
    shot,
)

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
ASIDE = {  # screens that need no bot: what says what to do there
    "/alerts": "appear here",
    "/backtests": "Choose a strategy above.",
    "/optimise": "Choose a strategy and ranges above.",
    "/data": "Download",
    "/jobs": "Ask for it under Backtests, Optimise or Data",
    "/settings": "there are users, roles, tokens, keys and a second factor here",
}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_each_screen_of_an_empty_house_says_what_to_do(browser: Any, tmp_path: Any) -> None:
    with House(tmp_path, demo=True) as house:
        visitor = Visitor(browser, house.address)
        for path, name in SCREENS.items():
            page = visitor.go(path)
            page.get_by_role("heading", name=name, exact=True, level=1).wait_for()
            main = page.get_by_role("main")

            if path in ASIDE:
                playwright.expect(main).to_contain_text(ASIDE[path])
            else:
                playwright.expect(main.locator(".empty")).to_contain_text(
                    "None has yet in this user directory."
                )
                assert main.get_by_role("button", name="New bot").is_enabled()
            if path in ASIDE or path == "/":  # without a bot, its screens are alike
                assert barriers(page) == [], path
            assert visitor.moved() < STILL, path
            shot(page, f"empty-{name.replace(' ', '-').lower()}")
        page = visitor.go("/jobs")
        page.get_by_role("main").get_by_role("link", name="Optimise").click()
        page.get_by_role("heading", name="Optimise", level=1).wait_for()
        assert visitor.faults == []
        visitor.close()
