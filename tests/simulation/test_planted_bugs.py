"""Whoever plants a defect into the live program is found out by the simulation, within few worlds."""

import pytest

from abidance.testing.simulation.campaign import Played, play
from tests.simulation.bugs import BUGS, STOPPED_BY_ITSELF

MOST = 60
"""Worlds in which a defect must show itself."""


def caught(name: str) -> Played | None:
    """Return the first world in which a planted defect breaks its rule; one that is known to is played first."""
    planted = BUGS[name]
    for seed in dict.fromkeys((planted.first, *range(MOST))):
        with planted.plant():
            played = play(seed, planted.kind)
        if played.rule == planted.rule:
            return played
    return None


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_planted_defect_breaks_the_rule_that_forbids_it(name: str) -> None:
    assert caught(name) is not None


def test_a_failure_of_the_program_proves_a_defect_only_for_a_reason() -> None:
    assert {name for name, planted in BUGS.items() if planted.rule == "program"} == set(STOPPED_BY_ITSELF)
    assert not any(planted.rule in ("simulation", "restart") for planted in BUGS.values())


def test_enough_defects_are_planted() -> None:
    assert len(BUGS) >= 20
