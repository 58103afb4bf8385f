"""Settings in a real browser: what everybody did, line by line, and fields for numbers."""

from pathlib import Path
from typing import Any

from tests.e2e.dashboard import House, Visitor, barriers, browser, entered, playwright, pytestmark, shot

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need


def test_a_line_of_the_audit_log_opens_whole_and_a_number_moves_by_the_arrows(
    browser: Any, tmp_path: Path
) -> None:
    with House(tmp_path, demo=False) as house:
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        page.goto(house.address + "/settings")
        page.get_by_role("tab", name="API tokens").click()
        form = page.locator("form", has=page.get_by_role("button", name="Make it"))
        form.get_by_label("Name").fill("scraper")
        days = form.get_by_label("Days")
        before = int(days.input_value())
        days.press("ArrowUp")
        days.press("ArrowUp")
        form.locator(".arrows span").last.click()
        playwright.expect(days).to_have_value(str(before + 1))
        days.fill("0.5")
        days.press("ArrowDown")
        playwright.expect(days).to_have_value("0.4")
        days.fill("1e2")  # it is no number, and no other one
        days.press("ArrowUp")
        playwright.expect(days).to_have_value("1e2")
        days.fill("30")
        shot(page, "settings-token")
        assert barriers(page) == []
        form.get_by_role("button", name="Make it").click()
        page.get_by_text("scraper").first.wait_for()
        page.get_by_role("tab", name="Audit").click()
        line = page.get_by_role("table", name="Audit").locator(".table-row", has_text="token")
        line.first.click()

        drawer = page.get_by_role("dialog", name="token.make")
        for text in ("ada", "127.0.0.1", "scraper", "30"):
            drawer.get_by_text(text).first.wait_for()
        shot(page, "settings-audit-line")
        assert barriers(page) == []
        assert admin.faults == []
        admin.close()
