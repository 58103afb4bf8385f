"""Every shipped strategy decides today what it decided when its result was written down.

A digest is a hash over all outcomes, floats in binary: equal on every 64-bit IEEE platform as long as the indicators
compute the same bits. Where a digest differs and trades and equity do not, suspect the platform; where all differ, a
decision has changed. `python -m tests.golden.runs` writes the results anew.
"""

import pytest

from abidance.strategy import library
from tests.golden import runs

PINNED = runs.written()


@pytest.mark.parametrize("strategy", library.__all__)
def test_a_shipped_strategy_decides_what_it_decided_before(strategy: str) -> None:
    found = runs.run(strategy)

    pinned = PINNED[strategy]
    assert found["equity"] == pytest.approx(pinned["equity"], rel=1e-9)
    assert found == pinned | {"equity": found["equity"]}


def test_results_are_written_down_for_every_shipped_strategy_and_no_other() -> None:
    assert sorted(PINNED) == sorted(library.__all__)
