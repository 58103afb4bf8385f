"""`abidance simulate` as a user runs it: the same seed twice, stress, and every kind of wrong input."""

import json
from pathlib import Path

import pytest

from tests.e2e.program import Program, assert_refused

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

RUN = ("simulate", "-s", "EmaCross", "-p", "BTC/USDT", "--timerange", "20240101-20240401")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_the_same_seed_twice_writes_the_same_file_whatever_the_jobs(program: Program) -> None:
    typed = (*RUN, "--market", "garch", "--stress", "crash:-0.4,fees:2x", "--paths", "12", "--bars", "300")

    first = program(*typed, "-j", "2", "--json", "first.json")
    again = program(*typed, "-j", "1", "--json", "again.json")

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert (program.home / "first.json").read_bytes() == (program.home / "again.json").read_bytes()
    for words in (
        "12 garch markets of 300 bars of 1h, seed 1",
        "Probability of loss",
        "Max drawdown",
        "Worst path",
    ):
        assert words in first.out
    assert max(map(len, first.out.splitlines())) <= 80
    found = json.loads((program.home / "first.json").read_text())
    assert len(found["runs"]) == 12


def test_the_real_market_under_a_dated_stress_is_one_path(program: Program) -> None:
    done = program(*RUN, "--market", "real", "--stress", "crash:-0.4@2024-03-01")

    assert done.code == 0, done.err
    assert "became" in done.out
    assert "1 path in" in done.out


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        (("--stress", "crsh:-0.4"), 2, "Did you mean crash?"),
        (("--paths", "0"), 2, "--paths 0"),
        (("--market", "regimes", "--timerange", "20240101-20240120"), 4, "1,000"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(
    program: Program, typed: tuple[str, ...], code: int, words: str
) -> None:
    assert_refused(program(*RUN, *typed), code, words)
