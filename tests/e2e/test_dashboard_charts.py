"""What the dashboard shows of a run that is over, and stands still: its figures, and what is drawn on its candles."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from abidance.research.objective import Aim, Outcome
from abidance.research.space import Dimension, Space
from abidance.research.storage import journal
from abidance.research.study import Plan, Study
from tests.e2e.dashboard import (
    BTC,
    SCREENS,
    House,
    Visitor,
    browser,
    cut_figures,
    playwright,
    pytestmark,
    shot,
    until,
)
from tests.e2e.figures import FIGURES, SCORES, Truth, exact

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
CONFIG = """[[strategies]]
strategy = "EmaCross"
parameters = { fast = 3, slow = 8 }
exits = { stop_atr = 2.0, trailing_atr = 4.0, atr_period = 24 }
"""
HIDDEN: dict[str, dict[str, Any]] = {
    "fills": {"/fills?": {"items": [], "next": None, "total": 0}},
    "stops": {"/orders/levels?": {"items": [], "next": None, "total": 0}, "/positions": []},
}
"""What is kept from the page, by the beginning of its path, and what is answered in its place."""

ARROWS = [[77, 171, 247], [255, 169, 77]]
"""The colours of what was bought and sold, in the dark."""
VOLUME = [59, 66, 74]
COUNT = """colours => {
    const found = colours.map(() => 0);
    for (const canvas of document.querySelectorAll('.chart canvas')) {
        if (canvas.width * canvas.height === 0) continue;
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        for (let at = 0; at < data.length; at += 4)
            colours.forEach(([r, g, b], which) => {
                if (data[at] === r && data[at + 1] === g && data[at + 2] === b) found[which]++;
            });
    }
    return found;
}"""
"""Counts the points of a chart that have exactly one of some colours."""
INSIDE = """([r, g, b]) => {
    for (const canvas of document.querySelectorAll('.chart canvas')) {
        const {width, height} = canvas;
        if (width * height === 0) continue;
        const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
        const is = (x, y) => [r, g, b].every((each, at) => data[4 * (y * width + x) + at] === each);
        for (let y = 2; y < height - 2; y++)
            for (let x = 2; x < width - 2; x++)
                if ([-1, 0, 1].every(dx => [-1, 0, 1].every(dy => is(x + dx, y + dy)))) {
                    const {left, top} = canvas.getBoundingClientRect();
                    return [left + x / devicePixelRatio, top + y / devicePixelRatio];
                }
    }
}"""
"""Returns a place well within something of a colour on a chart: an arrow, and no thin letter."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose bot has traded six weeks, with stops, and has ended."""
    with House(tmp_path_factory.mktemp("ended"), demo=True) as made:
        path = made.program.file("mine.toml", CONFIG)
        done = made.program(
            "trade", "-c", str(path), "-p", "BTC/USDT", "-i", "1h", "--plain",
            "--timerange", "2025-01-15T00:00:00Z/2025-02-27T15:00:00Z", "--speed", "0",
        )  # fmt: skip
        assert done.code == 0, done.err
        yield made


def still(page: Any, place: Any) -> bytes:
    """Return a picture of a part of a page once nothing in it moves any more."""
    before, now = b"", bytes(place.screenshot())
    while before != now:
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        before, now = now, bytes(place.screenshot())
    return now


def answered(body: str, route: Any) -> None:
    """Answer in the server's place."""
    route.fulfill(body=body, content_type="application/json")


def test_fills_and_stops_are_drawn_on_the_candles(browser: Any, ended: House) -> None:
    def drawn(hidden: str) -> tuple[bytes, list[int]]:
        visitor = Visitor(browser, ended.address)
        for part, answer in HIDDEN.get(hidden, {}).items():
            told = partial(answered, json.dumps(answer))
            visitor.page.route(lambda url, part=part: part in f"{url}?", told)
        page = visitor.go("/markets")
        page.locator(".chart canvas").first.wait_for()
        page.locator(".link-live").wait_for()
        playwright.expect(page.locator(".waiting")).to_have_count(0)
        picture = still(page, page.locator(".chart").first)
        drawn = page.evaluate(COUNT, [*ARROWS, VOLUME])
        if not hidden:
            shot(page, "markets-traded")
        assert visitor.faults == []
        visitor.close()
        return picture, drawn

    whole, (bought, sold, volume) = drawn("")

    assert min(bought, sold) > 200  # some arrows of each
    assert volume > 1_000
    assert drawn("")[0] == whole  # the same run is the same picture
    assert drawn("fills")[1][:2] == [0, 0]
    assert drawn("stops")[0] != whole


def test_an_arrow_on_the_candles_says_why_there_was_its_fill(browser: Any, ended: House) -> None:
    visitor = Visitor(browser, ended.address)
    page = visitor.go("/markets")
    page.locator(".chart canvas").first.wait_for()
    playwright.expect(page.locator(".waiting")).to_have_count(0)
    still(page, page.locator(".chart").first)
    x, y = page.evaluate(INSIDE, ARROWS[0])

    page.mouse.move(x, y)
    caption = page.locator(".chart-caption")
    playwright.expect(caption).to_have_text(re.compile(r"^Bought [\d.]+ BTC at [\d,.]+ USDT, entry$"))
    said = caption.inner_text()
    page.mouse.click(x, y)

    why = page.get_by_role("dialog", name="Why?")
    why.get_by_text("Booked", exact=True).wait_for()
    bought = {
        f"{exact(each.quantity)} BTC" for each in Truth(ended, page.request).fills if each.side == "buy"
    }
    assert " ".join(said.split()[1:3]) in bought & set(why.locator("dd").all_inner_texts())
    shot(page, "markets-why")
    assert visitor.faults == []
    visitor.close()


WORK = {
    "instruments": [BTC],
    "timeframe": "1d",
    "timerange": "20240101-20240601",
    "strategies": [{"strategy": "EmaCross"}],
}


def worked(page: Any, house: House) -> None:
    """Leave a backtest and a study behind."""
    ours = {"X-Abidance": "1", "Origin": house.address}
    way = f"{house.address}/api/v1/backtests"
    answer = page.request.post(way, data={"label": "short", "config": WORK}, headers=ours)
    done = f"{way}/{answer.json()['id']}"
    until(lambda: page.request.get(done).json()["finished"], "the backtest ends")
    assert page.request.get(done).json()["error"] == ""
    path = house.program.userdir / "studies" / "mine.journal"
    path.parent.mkdir(exist_ok=True)
    plan = Plan("mine", "random", 3, Space({"fast": Dimension("fast", 2, 900)}), Aim.read(("sharpe",), ()))
    study = Study(journal(path), plan)
    for score in SCORES:
        study.tell(study.ask().number, Outcome((score,), (), {}))


@pytest.mark.timeout(300)
def test_each_screen_shows_the_figures_of_the_journal_and_the_store(browser: Any, ended: House) -> None:
    visitor = Visitor(browser, ended.address)
    worked(visitor.page, ended)
    truth, wrong = Truth(ended, visitor.page.request), []

    for path, name in SCREENS.items():
        page, compared = visitor.go(path), 0
        for place, text in FIGURES[path](page, truth):
            compared += 1
            try:
                if place.evaluate("each => each.tagName") == "INPUT":
                    playwright.expect(place).to_have_value(text)
                elif text:
                    playwright.expect(place).to_have_text(text)
            except Exception as error:  # noqa: BLE001 - all that is wrong is told at once
                wrong.append(f"{name}, not {text}: {error}")
        assert compared, name
        for width in (390, 1360):  # with what was opened on the way
            page.set_viewport_size({"width": width, "height": 900})
            wrong += [f"{name} at {width}: {each} is cut off" for each in cut_figures(page)]
            wide = page.evaluate("document.documentElement.scrollWidth")
            wrong += [f"{name} at {width}: {wide} wide"] if wide > width else []
            if path == "/backtests":
                shot(page, f"backtest-opened-{width}")

    assert not wrong, "\n\n".join(wrong)
    assert visitor.faults == []
    visitor.close()


def test_profit_of_today_the_week_and_the_month_is_that_of_the_curve(browser: Any, ended: House) -> None:
    visitor = Visitor(browser, ended.address)
    page = visitor.go("/")
    run = page.request.get(f"{ended.address}/api/v1/runs/bot").json()
    curve = page.request.get(f"{ended.address}/api/v1/runs/bot/equity?points=10000").json()
    midnight = datetime.fromtimestamp(run["now"] / 1000, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    starts = {
        "Profit today": midnight,
        "This week": midnight - timedelta(days=midnight.weekday()),
        "This month": midnight.replace(day=1),
    }

    for name, start in starts.items():
        points = zip(curve["ts"], curve["equity"], strict=True)
        *_, first = (value for ts, value in points if ts <= start.timestamp() * 1000)
        shown = page.locator(".stat", has_text=name).locator(".stat-value").inner_text()
        assert shown == f"{curve['equity'][-1] - first:+,.2f}", name
        assert abs(curve["equity"][-1] - first) > 0.01, name
    total = page.locator(".stat", has_text="Equity, USDT").locator(".stat-value").inner_text()
    assert total == f"{curve['equity'][-1]:,.2f}"
    visitor.close()
