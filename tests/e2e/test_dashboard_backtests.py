"""Backtests in a real browser: with what they begin, and why each of their fills came to be."""

from pathlib import Path
from typing import Any

from tests.e2e.dashboard import House, Visitor, browser, pytestmark

__all__ = ["browser", "pytestmark"]  # fixtures, and what all tests of the dashboard need


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
        visitor.context.close()
