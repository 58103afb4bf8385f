"""Six pages that one user has open on a bot that is busy: none of them is told that it asks too often."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.dashboard import SCREENS, House, browser, pytestmark, until

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
FAST = 86_400
"""A day in a second, as `abidance trade` replays where nothing else is said: each page asks anew at each bar."""
ENOUGH = 800
"""Answers, some 240 of which come as the pages open: so many more than come at once are let in only at a pace."""


@pytest.mark.slow
def test_six_pages_of_a_fast_replay_are_never_told_to_wait(browser: Any, tmp_path: Path) -> None:
    statuses: Counter[int] = Counter()
    with House(tmp_path, demo=True) as house:
        house.start_bot(FAST)
        context = browser.new_context()
        pages = [context.new_page() for _ in range(6)]
        for page, path in zip(pages, SCREENS, strict=False):
            page.on("response", lambda answer: statuses.update((answer.status,)))
            page.goto(f"{house.address}{path}", wait_until="commit")

        def enough() -> bool:
            pages[0].wait_for_timeout(100)  # while it waits it hears of answers
            return statuses.total() >= ENOUGH

        until(enough, "the pages ask")
        context.close()

    assert statuses.keys() <= {200, 304}
