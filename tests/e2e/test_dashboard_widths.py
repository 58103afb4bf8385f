"""The dashboard on a phone, on a tablet, on desks and magnified: all of it is there, and nothing is cut off."""

from typing import Any

import pytest

from tests.e2e.dashboard import (
    SCREENS,
    STILL,
    House,
    Visitor,
    answering,
    barriers,
    browser,
    cut_figures,
    house,
    playwright,
    pytestmark,
    quiet,
    settle,
    shot,
    until,
)

__all__ = ["browser", "house", "pytestmark", "quiet"]  # fixtures, and what all tests of the dashboard need
CUT_OFF = """[...document.querySelectorAll('.table')].filter(each => each.scrollWidth > each.clientWidth + 1)
    .map(each => each.getAttribute('aria-label'))"""
"""Tables that can only be read whole by scrolling sideways."""
TOO_SMALL = """[...document.querySelectorAll('button, a[href], input, [role=tab], .table-row-open')].filter(each => {
    each.scrollIntoView({block: 'center', inline: 'center'});
    const whole = each.matches('input') ? each.closest('[class*="-wrapper"], [class*="Switch-body"]') ?? each : each;
    const {x, y, width, height} = whole.getBoundingClientRect();
    if (width <= 1 || each.disabled || each.matches('.skip')) return false;
    const isHit = by => {
        const at = document.elementFromPoint(x + width / 2, y + height / 2 + by);
        return whole.contains(at) || [...(each.labels ?? [])].some(label => label.contains(at));
    };
    return !isHit(-20) || !isHit(20);
}).map(each => each.ariaLabel || each.innerText || each.className)"""
"""What a finger misses that comes down 20 pixels above or below its middle."""
DESK = 1280
WIDTHS = (1360, DESK, 800, 320)
"""Of desks, of a tablet, and of a desk magnified four times (WCAG 1.4.10)."""


@pytest.mark.slow
def test_a_phone_shows_every_screen_whole_and_nothing_moves_there(browser: Any, house: House) -> None:
    visitor = Visitor(browser, house.address, viewport={"width": 390, "height": 844})
    for path, name in SCREENS.items():
        page = visitor.go(path)
        page.get_by_role("heading", name=name, exact=True).first.wait_for()
        page.locator(".link-live").wait_for()
        settle(page)
        shot(page, f"{name.replace(' ', '-').lower()}-phone")

        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate(CUT_OFF) == [], path
        assert cut_figures(page) == [], path
        assert barriers(page) == [], path
        assert visitor.moved() < STILL, path
    assert visitor.faults == []
    visitor.close()


@pytest.mark.slow
def test_on_a_phone_a_position_that_comes_moves_nothing_under_ones_finger(browser: Any, quiet: House) -> None:
    visitor = Visitor(browser, quiet.address, viewport={"width": 390, "height": 844})
    page = visitor.page
    until(lambda: page.request.get(f"{quiet.address}/api/v1/runs/bot").ok, "the bot is seen")

    def buy(asset: str, quantity: str) -> None:
        order = {"strategy": "EmaCross", "instrument": f"{asset}/USDT@BINANCE", "side": "buy"}
        ours = {"X-Abidance": "1", "Origin": quiet.address}
        way = f"{quiet.address}/api/v1/runs/bot/orders"
        assert page.request.post(way, data=order | {"quantity": quantity}, headers=ours).ok

    buy("BTC", "0.001")
    held = page.get_by_role("table", name="Positions").locator(".table-row")
    visitor.go("/orders")
    held.filter(has_text="BTC/USDT").wait_for()
    page.locator(".link-live").wait_for()
    settle(page)

    buy("ETH", "0.01")

    playwright.expect(held).to_have_count(2)
    settle(page)
    assert visitor.moved() < STILL
    shot(page, "positions-came-phone")
    assert barriers(page) == []
    page.get_by_role("button", name="Show all 2").click()
    table = page.get_by_role("table", name="Positions")
    assert table.evaluate("each => each.scrollHeight <= each.clientHeight")
    shot(page, "positions-all-phone")

    answering(page, "/positions", lambda rows: [rows[0] | {"strategy": f"S{n}"} for n in range(5)])
    visitor.go("/")
    table = page.get_by_role("table", name="Open positions")
    card = table.locator(".table-row").first.evaluate("each => each.offsetHeight")
    assert table.evaluate("each => each.clientHeight") % card < 4  # whole cards, and no part of one
    page.get_by_role("button", name="Show all 5").click()
    assert table.evaluate("each => each.scrollHeight <= each.clientHeight")
    assert visitor.faults == []
    visitor.close()


def test_what_a_finger_has_to_hit_on_a_phone_is_large_enough(browser: Any, house: House) -> None:
    visitor = Visitor(
        browser, house.address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    for path in ("/orders", "/logs", "/data", "/optimise", "/settings"):
        page = visitor.go(path)
        page.locator(".link-live").wait_for()
        settle(page)

        assert page.evaluate(TOO_SMALL) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.locator(".top").bounding_box()["height"] < 116, path
        assert visitor.moved() < STILL, path
    assert visitor.faults == []
    visitor.close()


def labelled(page: Any, house: House) -> None:
    """Leave a round trip with labels behind."""
    way = f"{house.address}/api/v1/runs/bot"
    ours = {"X-Abidance": "1", "Origin": house.address}
    order = {"strategy": "EmaCross", "instrument": "ETH/USDT@BINANCE", "quantity": "0.1"}
    trips = f"{way}/round-trips?instrument={order['instrument']}"
    until(lambda: page.request.get(way).ok, "the bot is seen")
    for side in ("buy", "sell"):
        fills = page.request.get(f"{way}/fills?limit=1").json()["items"]
        assert page.request.post(f"{way}/orders", data=order | {"side": side}, headers=ours).ok
        until(lambda: page.request.get(f"{way}/fills?limit=1").json()["items"] != fills, "a fill")  # noqa: B023
    until(lambda: page.request.get(trips).json()["items"], "a round trip")
    number = page.request.get(trips).json()["items"][0]["number"]
    note = {"labels": ["late", "by-hand", "news"], "note": "Entered late."}
    assert page.request.put(f"{way}/round-trips/{number}/note", data=note, headers=ours).ok


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_each_screen_is_whole_on_desks_and_tablets_and_where_it_is_magnified(
    browser: Any, house: House
) -> None:
    visitor = Visitor(browser, house.address)
    labelled(visitor.page, house)
    wrong = []
    for path in SCREENS:
        page = visitor.go(path)
        page.locator(".link-live").wait_for()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            settle(page)
            wide = page.evaluate("document.documentElement.scrollWidth")
            wrong += [f"{path} at {width}: {wide} wide"] if wide > width else []
            wrong += [f"{path} at {width}: {each} is cut off" for each in page.evaluate(CUT_OFF)]
            wrong += [f"{path} at {width}: {each} is cut off" for each in cut_figures(page)]
            cards = page.locator(".cards").evaluate_all("all => all.map(each => each.ariaLabel)")
            wrong += [f"{path} at {width}: {each} is no table" for each in cards if width >= DESK]
            if path == "/" and width >= DESK:
                shot(page, f"overview-{width}")
    assert not wrong, "\n".join(wrong)
    assert visitor.faults == []
    visitor.close()
