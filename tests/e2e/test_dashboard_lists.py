"""Long lists in a real browser: ten thousand orders scroll by, and more come while one reads."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abidance.api.bench import Job
from tests.e2e.dashboard import House, Visitor, browser, playwright, pytestmark
from tests.trading import MINUTE, START, Trading

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
ORDERS, LATER = 10_000, 400
SCROLL = """async ([label, least]) => {
    const table = document.querySelector(`[aria-label="${label}"]`);
    const seen = new Map(), frame = () => new Promise(requestAnimationFrame);
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
        await frame();
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
    told.send("Performance.enable")

    def worked() -> float:
        metrics = told.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    before = worked()
    found: dict[str, float] = page.evaluate(FLING, "All orders")
    return found | {"work_ms": round((worked() - before) * 1_000 / found["frames"], 2)}


def is_smooth(found: dict[str, float]) -> bool:
    """Say whether frames came as they should, and left the page time for others."""
    return found["late"] <= LATE * found["frames"] and found["work_ms"] < WORK


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
        assert sorted(int(told.replace(",", "")) for told, _ in seen) == list(range(1, ORDERS + 1))
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
        visitor.context.close()


PAGE, CARDS, MORE = 200, 50, 203
"""Rows of a page of a table and of a list that is none, and rows that there are."""


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which each list is longer than a page of it."""
    folder = tmp_path_factory.mktemp("long")
    for number in range(MORE):
        job = Job(f"id{number}", {}, f"work {number}", "ada", 1_000 + number, "done")
        place = folder / "abidance" / "backtests" / job.id
        place.mkdir(parents=True)
        (place / "request.json").write_text(json.dumps(asdict(job)))
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
    visitor.context.close()


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
    visitor.context.close()


def test_marks_on_the_candles_say_where_they_begin_and_lead_on(browser: Any, long: House) -> None:
    visitor = Visitor(browser, long.address)
    page = visitor.go("/markets")
    for what in ("arrows", "stops and targets"):
        page.get_by_text(f"{what.capitalize()} are drawn from").wait_for()
        button = page.get_by_role("button", name=f"Older {what}")
        button.click()
        playwright.expect(button).to_have_count(0)
    assert visitor.faults == []
    visitor.context.close()
