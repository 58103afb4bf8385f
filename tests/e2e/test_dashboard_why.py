"""What the drawer says of fills that no signal of their own led to, in a real browser: a stop, a liquidation."""

import re
from pathlib import Path
from typing import Any

import pytest

from abidance.run.bot import JOURNAL
from tests.e2e.dashboard import House, Visitor, barriers, browser, pytestmark, shot
from tests.unit.api.test_why_each import on_paper

__all__ = ["browser", "pytestmark"]  # fixtures, and what all tests of the dashboard need


@pytest.mark.timeout(200)
@pytest.mark.parametrize("width", [390, 1360])
def test_a_stop_says_what_touched_it_what_it_closed_and_folds_what_moved_it(
    browser: Any, tmp_path: Path, width: int
) -> None:
    house = House(tmp_path, demo=True)
    folder = house.program.userdir / "runs" / "bot"
    folder.mkdir(parents=True)
    on_paper(folder / JOURNAL)
    with house:
        visitor = Visitor(browser, house.address, viewport={"width": width, "height": 900})
        page = visitor.go("/orders")
        page.get_by_role("tab", name="Fills").click()
        rows = page.get_by_role("table", name="Fills").locator(".table-row")
        why = page.get_by_role("dialog", name="Why?")

        rows.filter(has_text="Trailing stop").first.click()

        why.get_by_text("The trailing stop was touched.").wait_for()
        why.get_by_text("Closes what is held: 1 BTC.").wait_for()
        why.get_by_text(re.compile("^The trailing stop follows the best price since the entry")).wait_for()
        steps = why.locator(".timeline > li > b").all_inner_texts()
        assert steps[0] == "Of the entry"
        assert steps[-6:] == [
            "Accepted", "Trailed 3 times, from 95 to 107", "Seen at the fill: bars", "Filled", "Booked", "Round trip",
        ]  # fmt: skip
        assert why.get_by_text("Confirmed").first.is_hidden()
        why.get_by_text("each of them").click()
        assert why.get_by_text("Confirmed").first.is_visible()
        shot(page, f"why-stop-{width}")
        assert barriers(page) == []
        why.get_by_role("button", name="Why the entry?").click()
        why.get_by_text("as asked").wait_for()
        why.get_by_role("button", name="Back to the exit").click()
        why.get_by_text("The trailing stop was touched.").wait_for()
        why.get_by_role("button", name="Close").click()
        why.wait_for(state="hidden")

        rows.filter(has_text="Liquidation").first.click()

        why.get_by_text("SIM itself closed the position", exact=False).first.wait_for()
        why.get_by_text("Risk was not asked: it was told when it had happened.").wait_for()
        assert barriers(page) == []
        assert visitor.faults == []
        visitor.close()
