"""Whoever plants a defect into the live program is found out by the simulation, within few worlds."""

import pytest

from abidance.testing.simulation.campaign import Played, play
from tests.simulation.bugs import BUGS

MOST = 60
"""Worlds in which a defect must show itself."""


def caught(name: str) -> Played | None:
    """Return the first world in which a planted defect breaks a rule; those that are known to are played first."""
    bug, first, kind = BUGS[name]
    for seed in dict.fromkeys((first, *range(MOST))):
        with bug():
            played = play(seed, kind)
        if played.failure:
            return played
    return None


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_planted_defect_is_caught(name: str) -> None:
    assert caught(name) is not None


def test_enough_defects_are_planted() -> None:
    assert len(BUGS) >= 20
