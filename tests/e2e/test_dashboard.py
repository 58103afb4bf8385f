"""The dashboard in a real browser, over a real server and a real bot: every screen, and what one does there."""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyotp
import pytest

from abidance.run.door import is_answering, leave
from tests.e2e.dashboard import (
    BTC,
    QUIET,
    SCREENS,
    STILL,
    House,
    Visitor,
    answering,
    barriers,
    browser,
    entered,
    held,
    house,
    playwright,
    pytestmark,
    quiet,
    settle,
    shot,
    the_proof_of_who_one_is_gets_old,
    told,
    until,
    visitor,
)
from tests.unit.venues.keyed_venue import KEY, SECRET, KeyedVenue, on_loopback

__all__ = [
    "browser",
    "house",
    "pytestmark",
    "quiet",
    "visitor",
]  # fixtures, and what all tests of the dashboard need
_WRITTEN = """window.written = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    window.written.push(text);
    return write.call(this, text, ...place);
};"""
"""Keeps what is written onto canvases."""
COUNTS = (
    "Round trips", "Rows", "Missing", "Trials", "Trial", "Trades", "Without a score", "Took",
)  # fmt: skip
UNITLESS = """counts => [...document.querySelectorAll('.table-row > .number')].filter(cell =>
    !cell.dataset.name.includes(', ') && !counts.includes(cell.dataset.name) && /\\d/.test(cell.innerText)
        && !/\\d ([A-Z]{3,}|%)$/.test(cell.innerText) && !cell.parentNode.querySelector('[data-name=Asset]')
).map(cell => `${cell.dataset.name} ${cell.innerText}`)"""
"""Figures of tables of which neither the head nor they themselves, nor an asset beside them, say what they count."""


@pytest.mark.parametrize(("path", "name"), SCREENS.items())
def test_each_screen_shows_real_data_in_both_themes_without_barriers(
    visitor: Visitor, path: str, name: str
) -> None:
    page = visitor.go(path)
    file = name.replace(" ", "-").lower()

    page.get_by_role("heading", name=name, exact=True).first.wait_for()
    page.locator(".link-live").wait_for()
    page.get_by_text("PAPER", exact=True).wait_for()
    shot(page, file)
    assert page.get_by_role("alert").count() == 0
    assert barriers(page) == []
    assert visitor.moved() < STILL
    assert page.evaluate(UNITLESS, COUNTS) == []
    page.get_by_role("button", name="Light colours").click()
    shot(page, f"{file}-light")
    assert barriers(page) == []
    assert visitor.faults == []


def test_the_figures_are_those_of_the_bot_and_move_with_it(visitor: Visitor) -> None:
    page = visitor.go("/")
    shown = page.locator(".equity b")
    before = shown.text_content()

    playwright.expect(shown).not_to_have_text(before or "")

    assert re.fullmatch(r"[\d,]+\.\d\d", before or "")


def test_a_fill_says_why_it_came_to_be(visitor: Visitor) -> None:
    page = visitor.go("/orders")
    page.get_by_role("tab", name="Fills").click()

    page.get_by_role("table", name="Fills").locator(".table-row").first.click()

    drawer = page.get_by_role("dialog")
    for step in (
        "Seen: bars",
        "Wished",
        "Asked of risk",
        "Risk answered",
        "Submit",
        "Accepted",
        "Seen at the fill: bars",
        "Filled",
        "Booked",
    ):
        drawer.locator("li > b").filter(has_text=re.compile(f"^{step}$")).first.wait_for()
    drawer.get_by_text(re.compile(r"^[\d,.]+ (BTC|ETH)$")).first.wait_for()  # what the bar traded
    drawer.get_by_text(re.compile(r"^[\d,.]+ USDT$")).first.wait_for()
    drawer.get_by_text("as asked").wait_for()  # the request
    drawer.get_by_text("Sized by", exact=True).first.wait_for()
    drawer.get_by_text("Fees, to the wallet").wait_for()  # the ledger
    shot(page, "why")
    assert barriers(page) == []
    assert visitor.faults == []


def test_a_row_stays_beneath_a_press_while_others_come(visitor: Visitor) -> None:
    page = visitor.go("/orders")
    page.get_by_role("tab", name="Fills").click()
    row = page.get_by_role("table", name="Fills").locator(".table-row").first
    row.hover()
    page.mouse.down()
    pressed = row.text_content()

    newest = "/api/v1/runs/bot/fills?limit=1"
    for _ in range(2):  # by the second one, the page was told of the first
        before = page.request.get(newest).json()["items"]
        until(lambda before=before: page.request.get(newest).json()["items"] != before, "the bot trades", 120)
    settle(page)
    assert row.text_content() == pressed
    page.mouse.up()

    page.get_by_role("dialog").get_by_text("Booked", exact=True).wait_for()
    playwright.expect(row).not_to_have_text(pressed)


def test_quantities_of_several_assets_stand_in_line_each_with_its_own(visitor: Visitor) -> None:
    page = visitor.go("/orders")
    rows = page.get_by_role("table", name="All orders").locator(".table-row")
    for asset in ("BTC", "ETH"):
        quantity = rows.filter(has_text=f"{asset}/USDT").first.locator('[data-name="Quantity"]')
        playwright.expect(quantity).to_have_text(re.compile(rf"^[\d.]+ {asset}$"))
    units = rows.locator('[data-name="Quantity"] .unit')
    places = units.evaluate_all("units => units.map(each => each.offsetLeft)")

    assert len(places) > 1
    assert len(set(places)) == 1
    page.get_by_role("tab", name="Fills").click()
    page.get_by_role("columnheader", name="Price, USDT").wait_for()


def test_a_line_of_the_ledger_opens_its_fill_and_a_line_of_the_log_its_order(visitor: Visitor) -> None:
    page = visitor.go("/portfolio")
    page.get_by_role("combobox", name="Kind of entry").click()
    page.get_by_role("option", name="fees").click()
    rows = page.get_by_role("table", name="Ledger").locator(".table-row")
    playwright.expect(rows.filter(has_text="Trading")).to_have_count(0)
    rows.first.click()
    page.get_by_role("dialog").get_by_text("Booked", exact=True).wait_for()

    page = visitor.go("/logs")
    page.get_by_label("Contains").fill("submit")
    page.get_by_role("table", name="Log").locator(".table-row", has_text="submit").first.click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_text("Risk answered", exact=True).wait_for()
    drawer.get_by_text("Time UTC", exact=True).wait_for()
    drawer.get_by_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")).first.wait_for()
    assert visitor.faults == []


def test_a_strategy_tells_its_last_signals_with_their_confidence_and_nothing_of_orders_by_hand(
    visitor: Visitor,
) -> None:
    page = visitor.go("/strategies")
    signals = page.get_by_role("table", name="Signals of EmaCross").locator(".table-row")

    row = signals.first

    row.locator('[data-name="Confidence"]').get_by_text("%").wait_for()
    refused = visitor.page.request.post(
        f"{visitor.address}/api/v1/runs/bot/orders",
        data={"strategy": "EmaCross", "instrument": BTC, "side": "buy", "quantity": "1000"},
        headers={"X-Abidance": "1", "Origin": visitor.address},
    )
    assert refused.ok or refused.status == 409, refused.text()
    by_hand = f"{visitor.address}/api/v1/runs/bot/refusals?by_hand=true"
    until(lambda: visitor.page.request.get(by_hand).json()["items"], "the refusal is on record")
    assert visitor.page.request.get(by_hand).json()["items"][0]["purpose"] == "entry"
    visitor.go("/strategies")
    row.click()
    page.get_by_role("dialog", name="Why?").get_by_text("Risk answered", exact=True).wait_for()
    assert signals.filter(has_text="refused").count() == 0


def test_a_strategy_tells_how_it_does_by_what_it_closed(visitor: Visitor) -> None:
    path = f"{visitor.address}/api/v1/runs/bot/strategies/EmaCross/performance"

    def figures() -> dict[str, Any]:
        return dict(visitor.page.request.get(path).json()["figures"])

    page = visitor.go("/strategies")
    page.get_by_role("heading", name="Closed round trips").wait_for()
    until(lambda: None not in figures().values(), "it wins, and loses")
    page.get_by_role("img", name="Closed profit, USDT, over time").wait_for()
    stats = page.locator(".stat")
    told = {"Average win, USDT": "average_win", "Average loss, USDT": "average_loss", "Fees, USDT": "fees"}

    def same() -> bool:
        known = figures()
        shown = {name: stats.filter(has_text=label).locator(".stat-value") for label, name in told.items()}
        return all(each.inner_text() == f"{known[name]:,.2f}" for name, each in shown.items())

    until(same, "the screen tells what the API does")
    playwright.expect(stats.filter(has_text="Max drawdown")).to_contain_text(re.compile(r"-?\d+\.\d\d %"))
    shot(page, "strategies-performance")
    assert barriers(page) == []
    assert visitor.faults == []


def test_an_order_by_hand_meets_the_same_risk_and_its_refusal_is_told(visitor: Visitor) -> None:
    page = visitor.go("/orders")
    page.get_by_role("button", name="Order by hand").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Quantity").fill("1000")

    form.get_by_role("button", name="Ask risk, then send").click()

    form.get_by_text(re.compile("Refused")).wait_for()
    assert form.is_visible()
    page = visitor.go("/risk")
    row = page.get_by_role("table", name="Refusals").locator(".table-row", has_text="1,000").first
    row.click()
    newest = page.request.get("/api/v1/runs/bot/refusals?limit=500").json()["items"]
    refused = next(each for each in newest if each["quantity"] == "1000")
    whole = page.get_by_role("dialog", name="Refused").locator("p").first
    playwright.expect(whole).to_have_text(refused["reason"].replace("`", ""))


_SURE = """from abidance.model.intent import Target
class Sure(EventStrategy):
    timeframe = "1h"
    surety = Parameter(0.8, 0.1, 1.0)

    def on_bar(self, bar, view):
        held = view.position(bar.instrument).quantity
        strength = 0.0 if held else 0.5
        return [Target(self.name, bar.instrument, strength, bar.close, confidence=self.surety)]
"""
"""In and out with each bar; how sure it is of that stands in each of its orders."""


def test_a_parameter_that_is_changed_is_that_of_the_decisions_that_follow(
    browser: Any, tmp_path: Path
) -> None:
    with House(tmp_path, demo=True) as house:
        house.program.strategy(_SURE, "sure.py")
        house.start_bot(strategy="Sure")
        visitor = Visitor(browser, house.address, base_url=house.address)
        page = visitor.go("/strategies")
        sure = page.get_by_role("table", name="Signals of Sure").locator('[data-name="Confidence"]')
        sure.get_by_text("80 %").first.wait_for()
        page.get_by_role("form", name="Parameters of Sure").get_by_label("surety").fill("0.3")

        page.get_by_role("button", name="Apply to the running bot").first.click()
        page.get_by_text("done, and on record").first.wait_for()

        sure.get_by_text("30 %").first.wait_for()
        page.reload()
        field = page.get_by_role("form", name="Parameters of Sure").get_by_label("surety")
        playwright.expect(field).to_have_value("0.3")
        orders = page.request.get("/api/v1/runs/bot/orders?limit=500&purpose=entry").json()["items"]
        told = [each["confidence"] for each in reversed(orders)]
        assert told == sorted(told, reverse=True)  # never the old one after the new one
        assert {*told} == {0.8, 0.3}
        assert visitor.faults == []
        visitor.close()


def test_a_parameter_that_does_not_fit_is_told_and_not_called_done(visitor: Visitor) -> None:
    page = visitor.go("/strategies")
    field = page.get_by_role("form", name="Parameters of EmaCross").get_by_label("fast")
    before = field.input_value()
    field.fill("999")

    field.press("Enter")  # leaving the field would put it back within its range

    told(field).get_by_text(re.compile("fast")).wait_for()
    playwright.expect(field).to_be_focused()
    assert page.get_by_text("done, and on record").count() == 0
    page.reload()
    playwright.expect(field).to_have_value(before)


def test_a_strategy_is_paused_started_stopped_and_given_another_share(browser: Any, quiet: House) -> None:
    visitor = Visitor(browser, quiet.address)
    page = visitor.go("/strategies")
    panel = page.locator("section", has=page.get_by_role("heading", name="EmaCross"))
    journal = quiet.program.userdir / "runs" / "bot" / "journal.abj"
    for deed, state in (
        ("Pause entries", "paused"),
        ("Start", "active"),
        ("Stop", "stopped"),
        ("Start", "active"),
    ):
        panel.get_by_role("button", name=deed, exact=True).click()
        panel.locator("header").get_by_text(state, exact=True).wait_for()

    form = page.get_by_role("form", name="Parameters of EmaCross")
    form.get_by_label("Share of capital").fill("40")
    form.get_by_role("button", name="Apply to the running bot").click()

    panel.get_by_text("40.0 %").wait_for()
    page.reload()
    playwright.expect(form.get_by_label("Share of capital")).to_have_value("40")
    written = journal.read_bytes()
    for action in (b"pause_entries", b"resume_entries", b"stop", b"start", b"set_allocation"):
        assert action in written
    assert visitor.faults == []
    visitor.close()


def test_moments_stand_in_utc_and_tell_local_time_on_hover(browser: Any, quiet: House) -> None:
    visitor = Visitor(browser, quiet.address, timezone_id="Asia/Tokyo", locale="en-US")
    page = visitor.go("/portfolio")
    moment = page.get_by_role("table", name="Ledger").locator("time").last

    stands, hover = moment.inner_text(), moment.get_attribute("title")

    assert stands == "2025-01-01 00:00:00"
    assert hover == "Jan 1, 2025, 9:00:00 AM GMT+9, your time"
    visitor.close()


def test_charts_and_drawers_tell_local_time_too(browser: Any, house: House) -> None:
    visitor = Visitor(browser, house.address, timezone_id="Asia/Tokyo", locale="en-US")
    visitor.page.add_init_script(_WRITTEN)
    page = visitor.go("/")
    page.locator(".u-over").first.hover()
    page.locator(".u-legend").first.get_by_text(re.compile("UTC, .* your time$")).wait_for()

    page = visitor.go("/markets")
    page.locator(".chart canvas").first.wait_for()
    page.locator(".chart").first.hover(position={"x": 400, "y": 100})
    page.wait_for_function("window.written.some(each => each.match(/ UTC, .* your time$/))")

    page = visitor.go("/logs")
    page.get_by_role("table", name="Log").locator(".table-row").first.click()
    moment = page.get_by_role("dialog").locator(".facts time").first
    assert moment.get_attribute("title").endswith("GMT+9, your time")
    visitor.close()


def test_limits_change_while_the_bot_runs_and_loosening_asks_once_more(
    visitor: Visitor, house: House
) -> None:
    page = visitor.go("/risk")
    form = page.get_by_role("form", name="Limits")
    form.get_by_label("Max positions").fill("9")
    form.get_by_role("button", name="Apply to the running bot").click()
    page.get_by_text("changed max_positions 10 to 9").first.wait_for()

    form.get_by_label("Max positions").fill("11")
    form.get_by_role("button", name="Apply to the running bot").click()
    page.get_by_role("dialog").get_by_text("This lets more risk in: max_positions.").wait_for()
    page.get_by_role("button", name="Loosen them").click()
    page.get_by_text("changed max_positions 9 to 11").first.wait_for()

    page.reload()
    playwright.expect(form.get_by_label("Max positions")).to_have_value("11")
    assert b"set_limits" in (house.program.userdir / "runs" / "bot" / "journal.abj").read_bytes()


def test_the_configuration_of_the_bot_is_shown_beside_that_of_a_new_one(visitor: Visitor) -> None:
    page = visitor.go("/settings")
    page.get_by_role("tab", name="Configuration").click()
    rows = page.get_by_role("table", name="Configuration").locator(".table-row")
    run = page.request.get(f"{visitor.address}/api/v1/runs/bot/config").json()
    for name, value in (
        ("strategies[0].strategy", "EmaCross"),
        ("risk.limits.price_collar", str(run["risk"]["limits"]["price_collar"])),
    ):
        page.get_by_label("Contains").fill(name)

        playwright.expect(rows).to_have_count(1)
        playwright.expect(rows.locator('[data-name="bot"]')).to_have_text(value)
    playwright.expect(rows.locator('[data-name="A new bot"]')).to_have_text("0.05")
    playwright.expect(rows.locator('[data-name="Given by"]')).to_have_text("the default")

    page.get_by_label("Only what differs").check()
    playwright.expect(rows).to_have_count(0)
    page.get_by_label("Contains").fill("")
    rows.filter(has_text="instruments").first.wait_for()
    for size in ({"width": 1360, "height": 900}, {"width": 390, "height": 844}):
        page.set_viewport_size(size)
        shot(page, f"configuration-{size['width']}")
        assert barriers(page) == []
    assert visitor.faults == []


def test_what_is_owed_stands_beside_what_is_there(visitor: Visitor) -> None:
    rows = visitor.page.request.get(f"{visitor.address}/api/v1/runs/bot/balances").json()
    owing = [each | ({"owed": "1234.5"} if each["asset"] == "USDT" else {}) for each in rows]
    visitor.page.route(re.compile("/runs/bot/balances"), lambda route: route.fulfill(json=owing))
    page = visitor.go("/portfolio")

    row = page.get_by_role("table", name="Balances").locator(".table-row", has_text="USDT").first
    playwright.expect(row.locator('[data-name="Owed"]')).to_have_text("1,234.5")
    page.get_by_text("deducted from the equity").wait_for()
    shot(page, "owed")
    assert barriers(page) == []
    page.unroute_all()
    visitor.go("/portfolio")
    row.wait_for()
    assert page.get_by_role("columnheader", name="Owed").count() == 0


def test_breakers_change_while_the_bot_runs(visitor: Visitor, house: House) -> None:
    page = visitor.go("/risk")
    form = page.get_by_role("form", name="Breakers")
    form.get_by_label("Daily loss").fill("4")

    form.get_by_role("button", name="Apply to the running bot").click()

    page.get_by_text("changed daily_loss 0.05 to 0.04").first.wait_for()
    form.get_by_label("Daily loss").fill("")  # which turns it off
    form.get_by_role("button", name="Apply to the running bot").click()
    page.get_by_role("dialog").get_by_text("This lets more risk in: daily_loss.").wait_for()
    assert b"set_breakers" in (house.program.userdir / "runs" / "bot" / "journal.abj").read_bytes()


def test_a_limit_that_does_not_fit_is_told_and_changes_nothing(visitor: Visitor) -> None:
    page = visitor.go("/risk")
    form = page.get_by_role("form", name="Limits")
    form.get_by_label("Price collar").fill("250")

    form.get_by_role("button", name="Apply to the running bot").click()

    told(form.get_by_label("Price collar")).get_by_text("1 is 100 %").wait_for()
    assert form.get_by_role("alert").count() == 0


def test_a_round_trip_keeps_a_note_and_the_journal_is_saved_as_csv(visitor: Visitor) -> None:
    page = visitor.go("/round-trips")
    rows = page.get_by_role("table", name="Closed round trips").locator(".table-row")
    rows.first.wait_for()
    rows.first.click()
    why = page.get_by_role("dialog").get_by_role("button", name="Why?")
    why.nth(1).click()
    page.get_by_role("dialog").get_by_text("Booked", exact=True).wait_for()
    shot(page, "round-trip-why")
    assert why.count() >= 2  # of the entry and of the exit
    assert barriers(page) == []
    form = page.get_by_role("form", name="Notes")
    form.get_by_role("textbox", name="Note").fill("Entered late.")
    form.get_by_label("Labels").first.fill("late")
    page.keyboard.press("Enter")
    form.get_by_role("button", name="Keep it").click()
    page.get_by_label("Label", exact=True).fill("late")
    playwright.expect(rows).to_have_count(1)

    with page.expect_download() as download:
        page.get_by_role("link", name="Save as CSV").click()

    text = Path(download.value.path()).read_text()
    assert "late,Entered late." in text
    assert visitor.faults == []


def test_a_resting_order_is_changed_and_taken_back(browser: Any, quiet: House) -> None:
    visitor = Visitor(browser, quiet.address)
    page = visitor.go("/orders")
    page.get_by_role("button", name="Order by hand").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox", name="Type").click()
    page.get_by_role("option", name="limit").click()
    form.get_by_role("textbox", name="Quantity").fill("0.001")
    form.get_by_role("textbox", name="Limit price").fill("20000")
    form.get_by_role("button", name="Ask risk, then send").click()
    resting = page.get_by_role("table", name="Open orders").locator(".table-row").filter(has_text="20,000")
    resting.get_by_role("button", name="Change").click()
    change = page.get_by_role("form", name="Change an order")
    change.get_by_role("textbox", name="Limit price").fill("21000")
    change.get_by_role("button", name="Ask risk, then change it").click()

    changed = page.get_by_role("table", name="Open orders").locator(".table-row").filter(has_text="21,000")
    changed.get_by_role("button", name="Cancel").click()

    playwright.expect(changed).to_have_count(0)
    assert visitor.faults == []
    visitor.close()


def test_the_portfolio_says_who_brought_what_and_what_went_together(visitor: Visitor) -> None:
    page, way = visitor.page, "/api/v1/runs/bot/correlation"
    until(lambda: page.request.get(way).json()["bars"] > 2, "prices went together")
    found = page.request.get(way).json()  # the bot goes on meanwhile
    answering(page, way, lambda _: found)

    visitor.go("/portfolio")

    page.locator(".brought").first.wait_for()
    told = ["–" if each is None else f"{each:.2f}" for row in found["matrix"] for each in row]
    assert told[1] == told[2] != "1.00"
    playwright.expect(page.locator(".correlation tbody td")).to_have_text(told)
    assert visitor.faults == []


def test_a_market_shows_indicators_and_says_why_there_is_no_book(visitor: Visitor) -> None:
    page = visitor.go("/markets")
    page.get_by_label("Indicators").first.fill("ema 50")
    page.keyboard.press("Enter")

    page.locator(".legend").get_by_text("ema 50").wait_for()
    page.get_by_text("This bot reads no order book.").wait_for()
    page.get_by_text("whole, ").wait_for()
    assert visitor.faults == []


def test_a_backtest_is_started_watched_and_opened(visitor: Visitor) -> None:
    page = visitor.go("/backtests")

    page.get_by_role("button", name="Start", exact=True).click()

    row = page.locator(".backtest").first
    playwright.expect(row.get_by_text("done", exact=True)).to_be_visible()
    row.get_by_text("Total return").first.wait_for()
    row.locator("canvas").first.wait_for()
    assert visitor.faults == []


def test_a_long_backtest_shows_how_far_it_is(visitor: Visitor, house: House) -> None:
    with held(house):
        page = visitor.go("/backtests")
        page.get_by_role("combobox", name="Strategy").click()
        page.get_by_role("option", name="Held").click()
        page.get_by_label("Time range").fill("20230101-20250601")

        page.get_by_role("button", name="Start", exact=True).click()

        row = page.locator(".backtest").filter(has_text="Held").first
        bar = row.get_by_role("progressbar", name="Progress")
        halfway = re.compile(r"^[1-9]\d(\.\d+)?$")
        playwright.expect(bar).to_have_attribute("aria-valuenow", halfway)
    row.get_by_text("done", exact=True).wait_for()
    assert bar.count() == 0
    assert visitor.faults == []


def test_what_does_not_fit_in_a_form_is_told_at_its_field(visitor: Visitor) -> None:
    page = visitor.go("/backtests")
    field = page.get_by_label("Time range")
    field.fill("yesterday")

    page.get_by_role("button", name="Start", exact=True).click()

    told(field).get_by_text("yesterday").wait_for()
    playwright.expect(field).to_be_focused()
    assert page.get_by_role("main").get_by_role("alert").count() == 0
    assert barriers(page) == []
    assert page.locator(".backtest", has_text="yesterday").count() == 0


def test_recovery_codes_stand_until_they_are_kept(browser: Any, tmp_path: Path) -> None:
    with House(tmp_path, demo=False) as house:
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        page.goto(house.address + "/settings")
        factor = page.locator("section", has=page.get_by_role("heading", name="Second factor"))
        factor.get_by_role("button", name="Set it up").click()
        secret = factor.locator("code").inner_text()
        picture = factor.get_by_role("img", name="QR code for your authenticator")
        picture.wait_for()
        shot(page, "second-factor")
        assert barriers(page) == []
        drawn = picture.inner_html()
        page.reload()
        factor.get_by_role("button", name="Set it up").click()
        assert factor.locator("code").inner_text() != secret
        assert picture.inner_html() != drawn  # it is that of the secret
        secret = factor.locator("code").inner_text()
        factor.get_by_label("Code").fill(pyotp.TOTP(secret).now())

        factor.get_by_role("button", name="Turn it on").click()

        factor.get_by_text("on", exact=True).wait_for()  # the page knows that it is on
        codes = factor.get_by_role("list", name="Recovery codes").get_by_role("listitem")
        assert len(set(codes.all_inner_texts())) == 10
        assert barriers(page) == []
        page.get_by_role("tab", name="Sessions").click()
        page.get_by_role("link", name="Jobs").click()
        page.get_by_role("heading", name="Jobs").wait_for()
        page.get_by_role("link", name="Settings").click()
        playwright.expect(codes).to_have_count(10)  # a look elsewhere loses nothing that is shown once
        factor.get_by_role("button", name="I have kept them").click()
        factor.get_by_role("button", name="Turn it off").wait_for()
        assert codes.count() == 0
        assert admin.faults == []  # a picture is drawn here
        admin.close()


def test_the_kill_switch_stops_the_bot_and_holds_over_a_restart(browser: Any, quiet: House) -> None:
    visitor = Visitor(browser, quiet.address)
    page = visitor.go("/")
    page.get_by_role("button", name="Kill", exact=True).click()
    page.get_by_role("button", name="Stop it").click()
    page.locator(".top").get_by_text("halted").wait_for()
    page.get_by_text("bot is halted.").wait_for()
    page.get_by_role("link", name="Alerts").click()
    page.get_by_role("table", name="Alerts").get_by_text("used the kill switch").first.wait_for()
    news = page.locator(".mantine-Notification-root").get_by_text("used the kill switch")
    assert news.count() == 0  # who threw it knows

    quiet.stop_bot()
    quiet.start_bot(QUIET)

    page.reload()
    page.locator(".top").get_by_text("halted").wait_for()
    visitor.close()


def test_a_paper_bot_is_started_stopped_and_started_again_from_the_browser(
    browser: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "abidance" / "runs" / "mine"
    with House(tmp_path, demo=True) as house:
        visitor = Visitor(browser, house.address)
        page = visitor.page
        try:
            page.goto(house.address)
            page.get_by_role("button", name="New bot").click()
            form = page.get_by_role("form", name="Start a bot")
            form.get_by_role("textbox", name="Name").fill("mine")
            form.get_by_label("fast").fill("9")
            form.get_by_role("button", name="Start it").click()
            page.get_by_text("mine is running.").wait_for()
            page.get_by_role("link", name="Strategies").click()
            shown = page.get_by_role("form", name="Parameters of EmaCross").get_by_label("fast")
            playwright.expect(shown).to_have_value("9")

            page.get_by_role("button", name="Stop the bot").click()
            until(lambda: not is_answering(folder), "the bot ends")
            page.get_by_role("button", name="Start it again").click()
            page.get_by_role("dialog").get_by_role("button", name="Start it").click()
            until(lambda: is_answering(folder), "the bot runs again")

            assert visitor.faults == []
        finally:
            if is_answering(folder):
                leave(folder, "the test")
                until(lambda: not is_answering(folder), "the bot ends")
            visitor.close()


def test_a_bot_that_cannot_start_says_why(visitor: Visitor, house: House) -> None:
    house.program.strategy(
        "class Broken(BarStrategy):\n    def __init__(self):\n        raise ValueError('out of ink')\n",
        "broken.py",
    )
    page = visitor.go("/strategies")
    page.get_by_role("button", name="New bot").click()
    form = page.get_by_role("form", name="Start a bot")
    form.get_by_role("textbox", name="Name").fill("another")
    form.get_by_role("combobox", name="Strategy").click()
    page.get_by_role("option", name="Broken").click()

    form.get_by_role("button", name="Start it").click()

    form.get_by_role("alert").get_by_text(re.compile("did not start.*|out of ink")).first.wait_for()


def test_a_key_goes_in_is_checked_and_is_never_shown(browser: Any, tmp_path: Path) -> None:
    venue = KeyedVenue("BINANCE", time.time_ns())
    with on_loopback(venue) as settings, House(tmp_path, demo=False) as house:
        (house.program.userdir / "config.toml").write_text(settings)
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        page.goto(house.address + "/settings")
        page.get_by_role("tab", name="Venues and keys").click()
        page.get_by_role("button", name="Add a key").click()
        form = page.get_by_role("form", name="Add a key")
        form.get_by_role("textbox", name="Key").fill(KEY)
        form.get_by_role("textbox", name="Secret").fill(SECRET)
        form.get_by_role("textbox", name="Passphrase of the new vault").fill("words that open the vault")
        form.get_by_role("button", name="Check it, then add it").click()
        page.get_by_text("It may:").wait_for()
        page.get_by_role("button", name="Good").click()
        page.get_by_role("table", name="Keys").get_by_text("BINANCE").wait_for()

        page.get_by_role("tab", name="Configuration").click()
        page.get_by_label("Contains").fill("BINANCE.rest_url")
        row = page.get_by_role("table", name="Configuration").locator(".table-row")
        playwright.expect(row.locator('[data-name="A new bot"]')).to_have_text(re.compile("^http://"))
        playwright.expect(row.locator('[data-name="Given by"]')).to_have_text(
            re.compile("config.toml, line [1-9]")
        )
        page.get_by_label("Contains").fill("")
        shot(page, "settings-configuration")
        assert barriers(page) == []
        assert admin.faults == []
        assert KEY not in page.content()
        admin.close()


def test_the_first_admin_is_made_once_and_roles_hold_in_the_browser(browser: Any, tmp_path: Path) -> None:
    with House(tmp_path, demo=False) as house:
        house.start_bot()
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        assert admin.faults == []  # the page of the first setup
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("tab", name="Users").click()
        page.get_by_role("button", name="Add a user").click()
        page.get_by_role("dialog").get_by_label("Name").fill("vera")
        word = page.get_by_role("dialog").get_by_role("textbox", name="Password")
        word.fill("vera vera vera")
        page.get_by_role("dialog").get_by_role("button", name="Add").click()
        told(word).get_by_text("holds the name").wait_for()
        word.fill("another long sentence")
        page.get_by_role("dialog").get_by_role("button", name="Add").click()
        page.get_by_role("table", name="Users").get_by_text("vera").wait_for()

        viewer = Visitor(browser, house.address)
        page = viewer.page
        page.goto(house.address)
        page.get_by_role("heading", name="Log in", level=1).wait_for()
        page.wait_for_load_state("networkidle")
        assert viewer.faults == []  # whoever is not logged in has done nothing wrong
        page.get_by_label("Name").fill("vera")
        page.get_by_role("textbox", name="Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        page.get_by_role("textbox", name="Password").fill("another long sentence")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        page.get_by_role("link", name="Orders").click()
        page.get_by_role("heading", name="Orders", exact=True).wait_for()

        assert page.get_by_role("button", name="Order by hand").count() == 0
        assert page.get_by_role("button", name="Kill").count() == 0
        changed(admin, viewer, house)
        left(admin)
        admin.close()
        viewer.close()


def left(admin: Visitor) -> None:
    """Log out, and see that nothing is asked for any more that needs somebody who is logged in."""
    page, streams = admin.page, list[Any]()
    page.on("websocket", lambda opened: streams.append(opened))  # noqa: PLW0108  # it marks its handler
    page.clock.install()  # before the page is there: a timer that is older than the clock is never taken back
    page.reload()
    page.locator(".link-live").wait_for()
    said, late = len(admin.faults), list[Any]()
    page.route("**/orders?*", lambda route: late.append(route))  # noqa: PLW0108  # it marks its handler
    with page.expect_request("**/orders?*"):
        page.get_by_role("link", name="Orders").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="Log in").wait_for()
    opened = len(streams)  # one, unless a busy machine was silent for so long that the page tried again

    for asked in late:  # and reaches the server when nobody is logged in any more
        with suppress(playwright.Error):
            asked.continue_()
    page.clock.run_for(60_000)

    assert late
    page.get_by_role("button", name="Log in").wait_for()
    until(lambda: page.wait_for_timeout(20) or all(each.is_closed() for each in streams), "streams end")
    assert len(streams) == opened
    assert admin.faults[said:] == []


def changed(admin: Visitor, viewer: Visitor, house: House) -> None:
    """Give vera another password, take her second factor away and remove her, and see each time that she is out."""

    def ask(method: str, way: str, **body: str) -> Any:
        ours = {"X-Abidance": "1", "Origin": house.address}
        return viewer.page.request.fetch(
            f"{house.address}/api/v1/session{way}", method=method, data=body, headers=ours
        )

    secret = ask("POST", "/totp").json()["secret"]
    assert ask("PUT", "/totp", code=pyotp.TOTP(secret).now()).ok
    page, known = admin.page, {"name": "vera", "password": "yet another sentence"}
    row = page.get_by_role("table", name="Users").locator(".table-row", has_text="vera")
    page.reload()
    page.get_by_role("tab", name="Users").click()
    own = page.get_by_role("table", name="Users").locator(".table-row", has_text="ada")
    assert own.get_by_role("button", name="Remove").count() == 0
    shot(page, "users")
    page.set_viewport_size({"width": 390, "height": 844})
    shot(page, "users-phone")
    remove = row.get_by_role("button", name="Remove").bounding_box()
    assert remove["x"] + remove["width"] < 390  # the last of them, in line with the first
    assert remove["y"] == row.get_by_role("button", name="Lock out").bounding_box()["y"]
    page.set_viewport_size({"width": 1360, "height": 900})

    row.get_by_role("button", name="Password").click()
    form = page.get_by_role("form", name="New password")
    form.get_by_role("textbox", name="Password").fill(known["password"])
    form.get_by_role("button", name="Give it").click()
    page.get_by_text("vera comes in with the new password alone.").wait_for()
    viewer.page.get_by_role("button", name="Log in").wait_for()
    assert ask("POST", "", **known).status == 401  # it lacks the code

    row.get_by_role("button", name="Factor off").click()
    page.get_by_role("dialog").get_by_role("button", name="Take it away").click()
    page.get_by_text("vera comes in by the password alone.").wait_for()
    assert ask("POST", "", **known).ok

    the_proof_of_who_one_is_gets_old(house)
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove this user").click()
    page.get_by_role("dialog").get_by_label("Your password, once more").fill("correct horse battery")
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    page.get_by_text("vera is removed.").wait_for()
    playwright.expect(row).to_have_count(0)
    assert ask("POST", "", **known).status == 401
