"""Long lists in a real browser: ten thousand orders scroll by, and more come while one reads."""

import json
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from abidance.journal.record import Codec, RunHeader, frame, opening
from abidance.model.command import Submit
from abidance.model.event import BalanceChanged, Control, ControlAction, OrderAccepted, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, OrderRequest, Purpose, Side
from abidance.model.outcome import Approved, Decided, Recorded
from abidance.run.config import load
from tests.e2e.dashboard import House, Visitor, browser, playwright, pytestmark

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
ID, NAME, START, MINUTE = "BTC/USDT@BINANCE", "EmaCross", 1_600_000_000 * 10**9, 60 * 10**9
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


class Trading:
    """The journal of a bot that sends one order a minute, the quantity of each its number; all but the first fill."""

    def __init__(self, path: Path) -> None:
        instrument = Instrument(ID, Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5))
        given = {"instruments": [ID], "strategies": [{"strategy": NAME}], "name": "long"}
        config = load([], given, {}).ready().model_dump(mode="json")
        path.parent.mkdir(parents=True)
        self._codec, self._file = Codec((instrument,)), path.open("wb")
        header = RunHeader("r1", "long", "paper", START, "test", "hash", config, (instrument,))
        first, mark = opening(header)
        self._crc, self._seq, self.count = mark.crc, 0, 0
        self._file.write(first)
        self._put(BalanceChanged(START, "BINANCE", "USDT", Decimal(10**12), "opening"))
        self._put(Control(START, ControlAction.START, actor="test"))

    def send(self, count: int) -> None:
        """Send so many orders, and let readers see them."""
        for number in range(self.count + 1, self.count + count + 1):
            now = START + number * MINUTE
            request = OrderRequest(
                NAME, ID, Side.BUY, Decimal(number), purpose=Purpose.ENTRY, decision_price=Decimal(100)
            )
            submit = Submit(f"{number:032x}", request, now)
            self._put(Decided(now, (request,), (Approved(request),), (submit,), ()))
            self._put(OrderAccepted(now, submit.order_id))
            if number > 1:
                self.fill(number, now)
        self.count += count
        self._file.flush()

    def fill(self, number: int, now: int) -> None:
        """Fill an order."""
        fee = Decimal("0.1")
        fill = Fill(
            str(number), f"{number:032x}", ID, NAME, Side.BUY, Decimal(number), Decimal(100), fee, "USDT", now
        )
        self._put(OrderFilled(now, fill))
        self._file.flush()

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _put(self, event: Recorded) -> None:
        self._seq += 1
        framed, self._crc = frame(self._codec.encode(self._seq, False, event), self._crc)
        self._file.write(framed)


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
