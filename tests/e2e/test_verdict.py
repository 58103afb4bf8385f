"""`abidance verdict` as typed: what it prints and writes, what it counts, and what it says when it cannot judge."""

import json
from pathlib import Path

import pytest

from tests.e2e.program import Program

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

RUN = ("-s", "EmaCross", "-p", "BTC/USDT", "--timerange", "20240101-20240601")
QUICK = ("--variants", "6", "--permutations", "39", "--noise", "3")
CHECKS = {
    "trades", "skill", "luck", "yardstick", "timing", "neighbours", "overfitting", "anchored", "rolling",
    "folds", "paths", "costs", "noise", "resampled", "falls", "ruin",
}  # fmt: skip


@pytest.fixture
def abidance(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_it_prints_every_check_and_writes_a_page_and_json(abidance: Program) -> None:
    html, document = abidance.home / "verdict.html", abidance.home / "verdict.json"

    done = abidance("verdict", *RUN, *QUICK, "--html", str(html), "--json", str(document))

    assert done.code == 0, done.err
    assert done.err == ""
    found = json.loads(document.read_text("utf-8"))
    assert {check["key"] for check in found["checks"]} == CHECKS
    assert all(check["name"] in done.out for check in found["checks"])
    assert found["mark"].upper() in done.out
    assert "docs/validation.md" in done.out
    page = html.read_text("utf-8")
    assert all(check["sentence"].replace("'", "&#39;") in page for check in found["checks"])
    assert "abidance verdict -s EmaCross" in page
    assert "<script" not in page


def test_a_fail_is_a_result_and_strict_makes_it_a_code(abidance: Program) -> None:
    thousandfold = (*RUN, *QUICK, "--trials", "1000000")

    usual, strict = abidance("verdict", *thousandfold), abidance("verdict", *thousandfold, "--strict")

    assert (usual.code, strict.code) == (0, 1)
    assert "FAIL" in usual.out
    assert usual.out == strict.out
    assert strict.err == ""


def test_every_backtest_counts_once_and_deflates_the_verdict(abidance: Program) -> None:
    def trials(*more: str) -> int:
        document = abidance.home / "verdict.json"
        done = abidance("verdict", *RUN, *QUICK, "--json", str(document), *more)
        assert done.code == 0, done.err
        (luck,) = [c for c in json.loads(document.read_text("utf-8"))["checks"] if c["key"] == "luck"]
        return int(luck["figures"]["trials"])

    for fast in ("5", "9", "9", "13"):
        assert abidance("backtest", *RUN, "--param", f"fast={fast}").code == 0
    assert abidance("backtest", *RUN, "--param", "fast=17", "--no-count").code == 0

    assert trials("--no-count") == 1
    assert trials() == 4
    assert trials() == 4


def test_a_counter_that_cannot_be_used_costs_no_backtest_its_result(abidance: Program) -> None:
    abidance.file("abidance/research/trials.sqlite", b"no database " * 1_000)

    done = abidance("backtest", *RUN)
    judged = abidance("verdict", *RUN, *QUICK)

    assert done.code == 0
    assert "Final equity" in done.out
    assert "trial counter" in done.err
    assert "Move the file away" in done.err
    assert judged.code == 1
    assert "Move the file away" in judged.err


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        ((*RUN[:4], "--timerange", "20240101-20240201"), 4, "31 days are too few for a verdict"),
        (
            (*RUN, "--param", "slow=500", "--param", "fast=200", "--dry-run-wallet", "0.01"),
            2,
            "traded nothing",
        ),
        ((*RUN, "--metric", "luck"), 2, "There is no metric 'luck'"),
        ((*RUN, "--trials", "0"), 2, "--trials"),
        ((*RUN, "--html", "."), 2, "is a folder"),
        (("-p", "BTC/USDT"), 3, "No strategy is given"),
    ],
)
def test_what_cannot_be_judged_is_told_in_one_sentence(
    abidance: Program, typed: tuple[str, ...], code: int, told: str
) -> None:
    done = abidance("verdict", *typed)

    assert done.code == code
    assert told in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
