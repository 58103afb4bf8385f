"""`abidance simulate-faults`: what fails is told with the command that plays it again, and ends with exit code 1."""

import re
import shlex
from collections.abc import Iterator
from typing import get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.simulate_faults import simulate_faults
from abidance.testing.simulation import campaign
from abidance.testing.simulation.campaign import ENOUGH, Played
from abidance.testing.simulation.kinds import KINDS
from tests.simulation.bugs import BUGS

BROKEN = BUGS["fees_are_dropped"]


def run(*typed: str) -> Result:
    app = typer.Typer()
    app.command()(simulate_faults)
    return CliRunner().invoke(app, typed)


@pytest.mark.parametrize("world", ["", BROKEN.kind or "spot"])
def test_a_world_that_fails_is_played_again_by_the_one_command_that_is_printed(world: str) -> None:
    with BROKEN.plant():
        first = run("--first", str(BROKEN.first), "--seeds", "1", "--world", world)
        told, again = (line.strip() for line in first.output.splitlines()[:2])
        second = run(*shlex.split(again.removeprefix("again: abidance simulate-faults ")))

    assert again.startswith("again: abidance simulate-faults --seed")
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert told.startswith(f"Seed {BROKEN.first} ({world}")
    assert second.output.splitlines()[0].strip() == told


def test_the_help_names_every_kind_of_world() -> None:
    named = get_args(get_type_hints(simulate_faults, include_extras=True)["world"])[1].help

    assert set(re.findall(r"[a-z]+(?:-[a-z]+)*", named.partition(" in place")[0])) - {"or"} == set(KINDS)


def test_a_fault_that_never_struck_in_enough_worlds_is_named_and_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def calm(seeds: range, jobs: int, world: str) -> Iterator[Played]:
        return (Played(seed, world, "", "", {"crash": 1}, 1.0, 1, 1, 1, 1) for seed in seeds)

    monkeypatch.setattr(campaign, "play_all", calm)

    few, enough = (run("--world", "spot", "--seeds", str(many)) for many in (ENOUGH - 1, ENOUGH))

    assert (few.exit_code, enough.exit_code) == (0, 1)
    assert "0 violations." in enough.output
    (line,) = [line for line in enough.output.splitlines() if "faults never hit: " in line]
    assert int(line.split()[0]) == len(line.partition(": ")[2].split(", ")) > 10
