"""Real orders from the browser, against an exchange on loopback: from the key to the kill switch and its release."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abidance.run.door import is_answering, leave
from abidance.testing.exchange.desk import live
from abidance.testing.exchange.faults import Fault, Wrong
from tests.e2e.dashboard import (
    ACCOUNT,
    House,
    Visitor,
    barriers,
    browser,
    entered,
    exchange,
    playwright,
    pytestmark,
    shot,
    the_proof_of_who_one_is_gets_old,
    until,
)

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need


def by_hand(page: Any, quantity: str, *, stop: str = "", limit: str = "") -> Any:
    """Fill in an order by hand and ask risk; return the form."""
    page.get_by_role("button", name="Order by hand").click()
    form = page.get_by_role("form", name="Order by hand")
    if limit:
        form.get_by_role("combobox", name="Type").click()
        page.get_by_role("option", name="limit").click()
        form.get_by_role("textbox", name="Limit price").fill(limit)
    form.get_by_role("textbox", name="Quantity").fill(quantity)
    form.get_by_label("Stop-loss distance").fill(stop)
    form.get_by_role("button", name="Ask risk, then send").click()
    return form


def started(page: Any, house: House) -> None:
    """Put a key into the vault, and start a bot with real orders."""
    page.goto(house.address + "/settings")
    page.get_by_role("tab", name="Venues and keys").click()
    page.get_by_role("button", name="Add a key").click()
    form = page.get_by_role("form", name="Add a key")
    form.get_by_role("textbox", name="Key").fill(ACCOUNT.key)
    form.get_by_role("textbox", name="Secret").fill(ACCOUNT.secret)
    form.get_by_role("textbox", name="Passphrase of the new vault").fill("words that open the vault")
    form.get_by_role("button", name="Check it, then add it").click()
    page.get_by_role("button", name="Good").click()
    page.get_by_role("link", name="Strategies").click()
    page.get_by_role("button", name="New bot").click()
    form = page.get_by_role("form", name="Start a bot")
    form.get_by_text("Real orders").click()
    form.get_by_role("textbox", name="Name").fill("real")
    form.get_by_role("textbox", name=re.compile("Type BINANCE")).fill("BINANCE")
    form.get_by_role("textbox", name="Passphrase of the vault").fill("words that open the vault")
    form.get_by_role("button", name="Start it with real money").click()
    page.get_by_text("LIVE", exact=True).wait_for()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_real_orders_are_steered_from_the_browser_under_the_same_risk(browser: Any, tmp_path: Path) -> None:
    with exchange() as venue, House(tmp_path, demo=False) as house:
        (house.program.userdir / "config.toml").write_text(
            f'[feed.addresses.BINANCE]\nrest_url = "{venue.rest_url}"\nstream_url = "{venue.stream_url}"\n'
            "[risk.limits]\nmax_slippage = 0.02\n"  # which reads the order book
        )
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        try:
            started(page, house)
            page.get_by_role("link", name="Overview").click()
            page.get_by_text("BINANCE account").get_by_text("compared").wait_for()

            page.get_by_role("link", name="Markets").click()
            for side in ("Bid", "Ask"):
                rows = page.locator(".depth", has_text=side).locator("tbody tr")
                playwright.expect(rows.nth(4)).to_be_visible()
            page.get_by_text("Book").get_by_text("certified").wait_for()
            page.get_by_text("The last candle has not closed").wait_for()
            shot(page, "live-markets")

            page.get_by_role("link", name="Orders").click()
            refused = by_hand(page, "100")
            refused.get_by_role("alert").get_by_text("max_leverage").wait_for()
            assert barriers(page) == []
            page.keyboard.press("Escape")
            assert venue.desk.orders == {}

            by_hand(page, "0.01", stop="500")
            positions = page.get_by_role("table", name="Positions").locator(".table-row")
            resting = page.get_by_role("table", name="Open orders").locator(".table-row")
            playwright.expect(positions).to_have_count(1)
            playwright.expect(resting.filter(has_text="Stop loss")).to_have_count(1)
            by_hand(page, "0.005", limit="30000", stop="500")
            entry = resting.filter(has_text="Limit")
            playwright.expect(entry).to_have_count(1)
            shot(page, "live-orders")
            entry.get_by_role("button", name="Cancel").click()
            playwright.expect(entry).to_have_count(0)

            positions.get_by_role("button", name="Close").click()
            page.get_by_role("dialog").get_by_text("with real money").wait_for()
            page.get_by_role("button", name="Yes, do it").click()
            playwright.expect(page.get_by_role("table", name="Positions")).to_have_count(0)

            by_hand(page, "0.005", stop="500")
            playwright.expect(positions).to_have_count(1)
            page.get_by_role("button", name="Kill", exact=True).click()
            page.get_by_label("Close all positions at market as well").check()
            page.get_by_role("button", name="Stop and close everything").click()
            page.locator(".top").get_by_text("halted").wait_for()
            playwright.expect(positions).to_have_count(0)
            by_hand(page, "0.005", stop="500").get_by_role("alert").get_by_text("kill switch").wait_for()
            page.keyboard.press("Escape")

            the_proof_of_who_one_is_gets_old(house)
            page.get_by_role("button", name="Release", exact=True).click()
            page.get_by_role("button", name="Release it").click()
            page.get_by_role("textbox", name="Your password, once more").fill("correct horse battery")
            page.get_by_role("button", name="Confirm", exact=True).click()
            page.locator(".top").get_by_text("active").wait_for()

            assert list(live(venue.desk.orders.values())) == []
            assert ACCOUNT.purse("BTC").free + ACCOUNT.purse("BTC").locked < Decimal("0.0001")

            venue.faults.add(Fault(Wrong.BAN, where="/order"))
            by_hand(page, "0.005", limit="30000", stop="500")
            page.keyboard.press("Escape")
            news = page.locator(".mantine-Notification-root", has=page.get_by_text("real", exact=True))
            news.filter(has_text="BINANCE").first.wait_for()
            page.get_by_role("link", name="Settings").click()
            page.get_by_role("tab", name="Notifications").click()
            page.get_by_role("combobox", name="Of what the bots tell").click()
            page.get_by_role("option", name="Nothing").click()
            shot(page, "live-notifications")
            assert barriers(page) == []

            page.get_by_role("link", name="Risk").click()
            page.get_by_role("button", name="Close it by hand").click()
            shot(page, "live-circuit")
            assert barriers(page) == []
            page.get_by_role("button", name="Close it", exact=True).click()
            page.get_by_text("All are closed: every venue is relied on.").wait_for()

            page.get_by_role("link", name="Alerts").click()
            alerts = page.get_by_role("table", name="Alerts").locator(".table-row")
            alerts.filter(has_text=re.compile("ada.* resets .*requests of BINANCE")).click()
            assert news.filter(has_text="resets").count() == 0
            assert barriers(page) == []
            page.get_by_role("button", name="Its log").click()
            page.get_by_role("heading", name="Logs", exact=True).wait_for()
            assert [
                each for each in admin.faults if not any(code in each for code in ("401", "403", "409"))
            ] == []
        finally:
            folder = house.program.userdir / "runs" / "real"
            if is_answering(folder):
                leave(folder, "the test")
                until(lambda: not is_answering(folder), "the bot ends")
            admin.close()
