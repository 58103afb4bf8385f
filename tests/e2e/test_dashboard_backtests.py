"""Backtests in a real browser: with what they begin, and why each of their fills came to be."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.dashboard import House, Visitor, barriers, browser, playwright, pytestmark, shot
from tests.e2e.test_dashboard_charts import ARROWS, INSIDE, still

__all__ = ["browser", "pytestmark"]  # fixtures, and what all tests of the dashboard need
LONG = 120_000
"""Milliseconds that a process may take to start and to work on a busy machine."""
STEPS = (
    "Seen: bars", "Wished", "Asked of risk", "Risk answered", "Submit", "Seen at the fill: bars", "Filled", "Booked",
)  # fmt: skip


def done(page: Any) -> Any:
    """Start a backtest from the form and return its row, opened, once its fills are shown."""
    page.get_by_label("Time range").fill("20240101-20240401")
    page.get_by_role("button", name="Start", exact=True).click()
    row = page.locator(".backtest").first
    playwright.expect(row.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
    row.get_by_role("table", name="Fills").wait_for()
    return row


@pytest.mark.timeout(400)
def test_each_fill_of_a_backtest_says_why_from_its_row_and_from_its_arrow(
    browser: Any, tmp_path: Path
) -> None:
    with House(tmp_path, demo=True) as house:
        visitor = Visitor(browser, house.address)
        page = visitor.go("/backtests")
        row = done(page)
        begun = row.locator(".stat", has=page.get_by_text("Start equity, USDT", exact=True))
        playwright.expect(begun.locator(".stat-value")).to_have_text("10,000.00")
        entry = row.get_by_role("table", name="Fills").locator(".table-row", has_text="Entry").first

        entry.click()

        why = page.get_by_role("dialog", name="Why?")
        for step in STEPS:
            why.locator("b").get_by_text(step, exact=True).first.wait_for()
        why.get_by_text("approved", exact=True).wait_for()
        why.locator("dl", has_text="Sized by").get_by_text("USDT").first.wait_for()
        why.get_by_text("Fees, to the wallet").wait_for()
        shot(page, "backtests-why")
        why.get_by_role("button", name="Close").click()
        why.wait_for(state="hidden")
        chart = row.locator(".chart").nth(1)
        chart.scroll_into_view_if_needed()
        still(page, chart)
        x, y = page.evaluate(INSIDE, ARROWS[0])
        page.mouse.move(x, y)
        page.mouse.click(x, y)
        why.locator("b").get_by_text("Booked", exact=True).wait_for()
        assert visitor.faults == []
        visitor.close()


@pytest.mark.timeout(400)
def test_a_result_that_keeps_no_record_says_so_and_is_run_again(browser: Any, tmp_path: Path) -> None:
    with House(tmp_path, demo=True) as house:
        visitor = Visitor(browser, house.address)
        page = visitor.go("/backtests")
        row = done(page)
        (kept,) = (house.program.userdir / "backtests").glob("*/journal.abj")
        kept.unlink()
        row.get_by_role("table", name="Fills").locator(".table-row").first.click()
        why = page.get_by_role("dialog", name="Why?")
        why.get_by_text("This result keeps no record of what was decided").wait_for()
        assert barriers(page) == []

        why.get_by_role("button", name="Run it again").click()

        rows = page.locator(".backtest")
        playwright.expect(rows).to_have_count(2)
        playwright.expect(rows.first.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
        rows.first.get_by_role("table", name="Fills").locator(".table-row").first.click()
        why.locator("b").get_by_text("Booked", exact=True).wait_for()
        visitor.close()


def test_money_to_begin_with_is_told_and_asked_for_in_the_currency_of_the_configuration(
    browser: Any, tmp_path: Path
) -> None:
    with House(tmp_path, demo=True) as house:
        (house.program.userdir / "config.toml").write_text('currency = "USDC"\n')
        visitor = Visitor(browser, house.address)
        page = visitor.go("/")
        page.get_by_role("button", name="New bot").click()
        page.get_by_label("Money to begin with, USDC").wait_for()
        visitor.go("/settings")
        page.get_by_role("tab", name="Configuration").click()
        settings = page.get_by_role("table", name="Configuration").locator(".table-row")
        settings.filter(has_text="dry_run_wallet").get_by_text("10000 USDC").wait_for()
        visitor.go("/backtests")
        page.get_by_label("Wallet, USDC").fill("5000")

        with page.expect_request("**/api/v1/backtests") as sent:
            page.get_by_role("button", name="Start", exact=True).click()

        asked = sent.value.post_data_json["config"]
        assert (asked["currency"], asked["dry_run_wallet"]) == ("USDC", 5_000)
        visitor.close()
