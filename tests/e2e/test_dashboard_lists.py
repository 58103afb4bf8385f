"""Long lists in a real browser: ten thousand orders scroll by, and more come while one reads."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from abidance.api.bench import Job
from abidance.market.bars import Bars
from abidance.market.store import BarStore
from abidance.run.downloading import Wish
from tests.e2e.dashboard import BTC, House, Visitor, barriers, browser, playwright, pytestmark, shot
from tests.trading import MINUTE, START, Trading

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
ORDERS, LATER = 10_000, 400
SCROLL = """async ([label, least]) => {
    const table = document.querySelector(`[aria-label="${label}"]`);
    const seen = new Map(), frame = () => new Promise(requestAnimationFrame);
    const isDrawn = () => {
        const last = [...table.querySelectorAll('.table-row')].at(-1);
        return last.getAttribute('aria-rowindex') === table.getAttribute('aria-rowcount') ||
            last.getBoundingClientRect().bottom >= table.getBoundingClientRect().bottom - 1;
    };
    let most = 0;
    for (let still = 0; still < 10; ) {
        const rows = [...table.querySelectorAll('.table-row')];
        most = Math.max(most, rows.length);
        for (const row of rows) {
            const told = row.children[5].textContent, at = Number(row.getAttribute('aria-rowindex'));
            seen.set(told, (seen.get(told) ?? new Set()).add(at));
        }
        const before = table.scrollTop;
        table.scrollTop += 700;
        do await frame(); while (!isDrawn());  // a busy machine takes more than one
        still = table.scrollTop === before && seen.size >= least ? still + 1 : 0;
    }
    return [most, [...seen].map(([told, places]) => [told, places.size])];
}"""
"""Scrolls a table to its end; returns the most rows drawn at once, and at how many places each quantity stood."""

FLING = """async (label) => {
    const table = document.querySelector(`[aria-label="${label}"]`), frame = () => new Promise(requestAnimationFrame);
    const long = [], gaps = [];
    const watch = new PerformanceObserver(list => long.push(...list.getEntries().map(each => each.duration)));
    watch.observe({type: 'longtask'});
    let most = 0, before = await frame();
    for (let at = 0; at < 240; at++) {
        table.scrollTop -= 340;
        const now = await frame();
        gaps.push(now - before);
        before = now;
        most = Math.max(most, table.querySelectorAll('.table-row').length);
    }
    watch.disconnect();
    gaps.sort((one, other) => one - other);
    return {
        frames: gaps.length, rows: most, middle_ms: gaps[gaps.length >> 1], late: gaps.filter(each => each > 34).length,
        longest_ms: gaps.at(-1), long_tasks: long.length,
    };
}"""
"""Scrolls a table up, ten rows a frame; tells how the frames came and what held them up."""
WORK, LATE, TRIES = 25.0, 0.25, 3
"""Milliseconds of work a frame and the share of frames that may come late, and tries: a busy machine delays some."""


def flung(page: Any) -> dict[str, float]:
    """Scroll orders by; return how it went, and the milliseconds of work for each frame in the page's one thread."""
    told = page.context.new_cdp_session(page)
    told.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked() -> float:
        metrics = told.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    before = worked()
    found: dict[str, float] = page.evaluate(FLING, "All orders")
    return found | {"work_ms": round((worked() - before) * 1_000 / found["frames"], 2)}


def is_smooth(found: dict[str, float]) -> bool:
    """Say whether frames came as they should, and left the page time for others."""
    return found["late"] <= LATE * found["frames"] and found["work_ms"] < WORK


@pytest.mark.slow
def test_ten_thousand_orders_scroll_by_each_once_and_stay_while_more_come(
    browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "abidance" / "runs" / "long" / "journal.abj"
    with closing(Trading(path)) as bot, House(tmp_path, demo=True) as house:
        bot.send(ORDERS)
        visitor = Visitor(browser, house.address)
        page = visitor.go("/orders")
        table = page.get_by_role("table", name="All orders")
        rows = table.locator(".table-row")
        rows.filter(has_text=f"{ORDERS:,}").first.wait_for()

        most, seen = page.evaluate(SCROLL, ["All orders", ORDERS])

        assert most < 200
        assert sorted(float(told.replace(",", "")) for told, _ in seen) == list(range(1, ORDERS + 1))
        assert {places for _, places in seen} == {1}

        tries: list[dict[str, float]] = []
        while not tries or (len(tries) < TRIES and not is_smooth(tries[-1])):
            tries.append(flung(page))
            table.evaluate("each => { each.scrollTop = each.scrollHeight }")
        sys.stdout.write(json.dumps({"what": "dashboard_scroll", "orders": ORDERS, **tries[-1]}) + "\n")
        assert is_smooth(tries[-1]), tries
        assert max(each["rows"] for each in tries) <= 60

        table.evaluate("each => { each.scrollTop -= 20 }")  # at the end, where the first order is
        first = table.locator(f'.table-row[aria-rowindex="{ORDERS + 1}"]')
        before = first.bounding_box()
        for _ in range(2):
            bot.send(LATER // 2)
            playwright.expect(table).to_have_attribute("aria-rowcount", str(bot.count + 1))
        moved = table.locator(f'.table-row[aria-rowindex="{bot.count + 1}"]')
        assert moved.bounding_box() == before
        bot.fill(1, START + (bot.count + 1) * MINUTE)
        moved.get_by_text("filled").wait_for()
        assert visitor.faults == []
        visitor.close()


PAGE, CARDS, MORE = 200, 50, 203
"""Rows of a page of a table and of a list that is none, and rows that there are."""


HOLED = "ETH/USDT@KRAKEN"
FAULT = "BINANCE does not answer: it is away."
REMEDY = "What is there is kept: start it again for the rest."


def _fail(userdir: Path) -> None:
    """Leave a download behind that failed, from a venue that will not answer either when it is asked again."""
    userdir.mkdir()
    (userdir / "config.toml").write_text('[feed.addresses.BINANCE]\nrest_url = "http://127.0.0.1:9"\n')
    asked = asdict(Wish((BTC,), START, START + 60 * MINUTE, ("1m",)))
    job = Job("lost", {}, "BTC of old", "ada", 500, "failed", error=FAULT, remedy=REMEDY, asked=asked)
    job.instruments = [BTC]
    place = userdir / "downloads" / job.id
    place.mkdir(parents=True)
    (place / "request.json").write_text(json.dumps(asdict(job)))


def _leave_holes(store: BarStore) -> None:
    """Store bars of which every other one is missing."""
    ts = START // MINUTE * MINUTE + np.arange(MORE + 1) * 2 * MINUTE
    price = np.full(len(ts), 100.0)
    store.write(Bars(HOLED, "1m", ts, [price] * 5))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which each list is longer than a page of it."""
    folder = tmp_path_factory.mktemp("long")
    for number in range(MORE):
        job = Job(f"id{number}", {}, f"work {number}", "ada", 1_000 + number, "done")
        place = folder / "abidance" / "backtests" / job.id
        place.mkdir(parents=True)
        (place / "request.json").write_text(json.dumps(asdict(job)))
    _leave_holes(BarStore(folder / "abidance" / "data"))
    with closing(Trading(folder / "abidance" / "runs" / "long" / "journal.abj")) as bot:
        bot.send(MORE + 1)  # the first rests
        bot.send(MORE - 1, stop=Decimal(90), rests=True)
        bot.tell(MORE)
        with House(folder, demo=True) as house:
            yield house


@pytest.mark.parametrize(
    ("screen", "name"), [("orders", "Open orders"), ("jobs", "Jobs"), ("alerts", "Alerts")]
)
def test_a_table_is_read_to_its_end_as_one_scrolls(browser: Any, long: House, screen: str, name: str) -> None:
    visitor = Visitor(browser, long.address)
    page = visitor.go(f"/{screen}")
    table = page.get_by_role("table", name=name, exact=True)
    playwright.expect(table).to_have_attribute("aria-rowcount", str(PAGE + 1))

    table.evaluate("each => { each.scrollTop = each.scrollHeight }")

    playwright.expect(table).to_have_attribute("aria-rowcount", str(MORE + 1))
    counted = {"jobs": "Done", "alerts": "Warnings"}.get(screen)
    if counted:
        stat = page.locator(".stat", has=page.get_by_text(counted, exact=True)).locator(".stat-value")
        playwright.expect(stat).to_have_text(str(MORE))
    assert visitor.faults == []
    visitor.close()


def test_a_list_that_is_no_table_says_where_it_ends_and_leads_on(browser: Any, long: House) -> None:
    visitor = Visitor(browser, long.address)
    page = visitor.go("/backtests")
    rows, older = page.locator(".backtest"), page.get_by_role("button", name="Older", exact=True)
    playwright.expect(rows).to_have_count(CARDS)
    page.get_by_text(f"The newest {CARDS} of {MORE}", exact=True).wait_for()

    while older.count():
        before = rows.count()
        older.click()
        playwright.expect(rows).not_to_have_count(before)
        page.wait_for_load_state("networkidle")

    assert rows.locator("button[aria-expanded]").all_inner_texts() == [
        f"work {number}" for number in reversed(range(MORE))
    ]
    assert visitor.faults == []
    visitor.close()


def test_notices_say_where_they_end_and_lead_on(browser: Any, long: House) -> None:
    visitor = Visitor(browser, long.address)
    page = visitor.go("/")
    notices = page.get_by_role("region", name="Notices")
    notices.get_by_text(f"The newest {CARDS} of {MORE}", exact=True).wait_for()
    rows, older = notices.get_by_role("listitem"), notices.get_by_role("button", name="Older")
    older.scroll_into_view_if_needed()
    shot(page, "overview-notices")

    while older.count():
        before = rows.count()
        older.click()
        playwright.expect(rows).not_to_have_count(before)
        page.wait_for_load_state("networkidle")

    playwright.expect(rows).to_have_count(MORE)
    assert visitor.faults == []
    visitor.close()


def test_holes_say_where_they_end_and_lead_on_to_the_shortest(browser: Any, long: House) -> None:
    visitor = Visitor(browser, long.address)
    page = visitor.go("/data")
    page.get_by_role("row").get_by_text(HOLED).first.click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_text(f"The longest {PAGE} of {MORE}", exact=True).wait_for()
    shot(page, "data-holes")

    drawer.get_by_role("button", name="Shorter ones").click()

    holes = drawer.get_by_role("listitem").filter(has_text="1 missing")
    playwright.expect(holes).to_have_count(MORE)
    playwright.expect(drawer.get_by_role("button", name="Shorter ones")).to_have_count(0)
    assert visitor.faults == []
    visitor.close()


def test_studies_are_read_to_their_end_behind_those_of_the_dashboard(browser: Any, long: House) -> None:
    known = {
        "state": "resting", "changed": 1_000, "objectives": ["sharpe"], "done": 3, "refused": 0, "failed": 0,
        "best": None, "problem": "",
    }  # fmt: skip
    studies = [known | {"name": f"study{n}", "is_ours": n >= MORE} for n in range(2 * MORE)]  # fmt: skip
    visitor = Visitor(browser, long.address)

    def pages(route: Any) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        at = int(asked.get("cursor", [str(len(studies))])[0])
        start = max(0, at - int(asked["limit"][0]))
        page = {
            "items": studies[start:at][::-1],
            "next": str(start) if start else None,
            "total": len(studies),
        }
        route.fulfill(json=page)

    visitor.page.route(re.compile(r"/api/v1/studies\?"), pages)
    page = visitor.go("/optimise")
    table = page.get_by_role("table", name="Studies")
    table.get_by_text(f"study{MORE - 1}", exact=True).wait_for()

    table.evaluate("each => { each.scrollTop = each.scrollHeight }")

    playwright.expect(table).to_have_attribute("aria-rowcount", str(MORE + 1))
    assert visitor.faults == []
    visitor.close()


def test_what_failed_says_why_and_is_started_again(browser: Any, tmp_path: Path) -> None:
    _fail(tmp_path / "abidance")
    with House(tmp_path, demo=True) as house:
        visitor = Visitor(browser, house.address)
        failed(visitor.go("/jobs"), house)
        assert visitor.faults == []
        visitor.close()


def failed(page: Any, house: House) -> None:
    """Find a download that failed among the jobs, and start it again."""
    row = page.get_by_role("table", name="Jobs").locator(".table-row", has_text="BTC of old")
    page.get_by_role("combobox", name="State").click()
    page.get_by_role("option", name="failed").click()
    row.get_by_text(FAULT).wait_for()
    playwright.expect(row.locator('[data-name="What"] > span')).to_have_attribute(
        "title", f"{FAULT} {REMEDY}"
    )
    row.click()
    page.get_by_role("heading", name="Data", exact=True).wait_for()
    downloads = page.locator(".download")
    downloads.get_by_text(f"{FAULT} {REMEDY}").wait_for()
    shot(page, "data-failed")
    assert barriers(page) == []

    downloads.get_by_role("button", name="Start it again").click()

    playwright.expect(downloads).to_have_count(2)
    newest = page.request.get(f"{house.address}/api/v1/downloads").json()["items"][0]
    assert (newest["label"], newest["instruments"], newest["id"] != "lost") == ("BTC of old", [BTC], True)


def test_marks_on_the_candles_say_where_they_begin_and_lead_on(browser: Any, long: House) -> None:
    visitor = Visitor(browser, long.address)
    page = visitor.go("/markets")
    for what in ("arrows", "stops and targets"):
        page.get_by_text(f"{what.capitalize()} are drawn from").wait_for()
        button = page.get_by_role("button", name=f"Older {what}")
        button.click()
        playwright.expect(button).to_have_count(0)
    assert visitor.faults == []
    visitor.close()
