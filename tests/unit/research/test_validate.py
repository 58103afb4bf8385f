"""Each check at its thresholds, the sentence it says, and how marks join to one verdict."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.research import validate
from abidance.research.luck import Overfitting, Record
from abidance.research.montecarlo import Paths
from abidance.research.page import render, to_json
from abidance.research.trials import Tried
from abidance.research.validate import Check, Luck, Mark, Verdict, overall
from abidance.research.walk import Step, Walk

DAILY = 365**-0.5
PASS, WARN, FAIL, SKIP = Mark.PASS, Mark.WARN, Mark.FAIL, Mark.SKIP


def paths(
    final: list[float], drawdown: list[float] | None = None, lowest: list[float] | None = None
) -> Paths:
    none = np.zeros(len(final))
    return Paths(
        final=np.array(final),
        drawdown=np.array(drawdown or none),
        sharpe=none,
        lowest=np.array(lowest or none + 1),
        rows=np.array([0]),
        fan=np.ones((3, 1)),
    )


def walked(inside: float, returns: np.ndarray) -> Walk:
    return Walk((Step(((0, 10),), (10, 20), 0, inside, None),), returns)


def noise(observed: float, sharpes: np.ndarray) -> Check:
    return validate.noise(observed, sharpes, sharpes / 10)


def outcome(probability: float, loss: float) -> Overfitting:
    bad, lost = round(probability * 100), round(loss * 100)
    logits = np.r_[np.full(bad, -1.0), np.full(100 - bad, 1.0)]
    outside = np.r_[np.full(lost, -0.1), np.full(100 - lost, 0.1)]
    return Overfitting(logits, np.linspace(0, 1, 100), outside)


UP = np.tile([0.02, -0.01], 50)  # a year of it has a Sharpe ratio of 6.3
STEADY = float(UP.mean() / UP.std(ddof=1) / DAILY)


@pytest.mark.parametrize(
    ("make", "mark", "told"),
    [
        (lambda: validate.enough_trades(30), PASS, "30 round trips were closed; enough"),
        (lambda: validate.enough_trades(29), WARN, "30 or more are wished for"),
        (lambda: validate.enough_trades(9), FAIL, "9 round trips"),
        (lambda: validate.skill(Record(365, 2.0 * DAILY)), PASS, "97.7% probability the true Sharpe ratio (2.00"),
        (lambda: validate.skill(Record(365, 1.4 * DAILY)), WARN, "days is needed to say so with 95%, there are 365"),
        (lambda: validate.skill(Record(365, 1.0 * DAILY)), FAIL, "84.1%"),
        (lambda: validate.skill(Record(365, -1.0 * DAILY)), FAIL, "no record, however long"),
        (lambda: validate.luck(Record(365, 2.0 * DAILY), Luck(1, 0.01)), PASS, "Only this one trial"),
        (lambda: validate.luck(Record(365, 2.0 * DAILY), Luck(50, 0.002)), FAIL, "best of 50 trials without skill"),
        (lambda: validate.luck(Record(365, 6.0 * DAILY), Luck(50, 0.002)), PASS, "more than that luck"),
        (lambda: validate.yardstick(1.0, 1.0), PASS, "no worse than buying"),
        (lambda: validate.yardstick(0.9, 1.0), WARN, "Sharpe 0.90 against 1.00"),
        (lambda: validate.yardstick(0.9, None), SKIP, "has no Sharpe ratio"),
        (lambda: validate.timing(9.0, np.arange(39.0) / 5, is_rerun=True), PASS, "(run again) did as well in 0 of 39 runs (p = 2.5%)"),
        (lambda: validate.timing(7.2, np.arange(39.0) / 5, is_rerun=False), WARN, "approximated from its positions"),
        (lambda: validate.timing(4.0, np.arange(39.0) / 5, is_rerun=True), FAIL, "in 19 of 39 runs (p = 50.0%)"),
        (lambda: validate.timing(4.0, np.arange(18.0), is_rerun=True), SKIP, "18 shifted runs are too few"),
        (lambda: validate.plateau(np.r_[1.0, [0.5] * 7, [-0.5] * 3]), PASS, "70% of 10 neighbouring settings"),
        (lambda: validate.plateau(np.r_[1.0, [0.5] * 5, [-0.5] * 5]), WARN, "50% of 10"),
        (lambda: validate.plateau(np.r_[1.0, [0.5] * 4, [-0.5] * 6]), FAIL, "the chosen one 1.00"),
        (lambda: validate.plateau(np.ones(3)), SKIP, "fewer than 3 neighbouring"),
        (lambda: validate.overfit(outcome(0.2, 0.5)), PASS, "in 20.0% of 100 splits, and lost money in 50.0%"),
        (lambda: validate.overfit(outcome(0.6, 0.05)), PASS, "60.0%"),
        (lambda: validate.overfit(outcome(0.6, 0.06)), WARN, "60.0%"),
        (lambda: validate.overfit(outcome(0.5, 0.9)), WARN, "50.0%"),
        (lambda: validate.overfit(outcome(0.51, 0.26)), FAIL, "51.0%"),
        (lambda: validate.overfit("Too few."), SKIP, "Too few."),
        (lambda: validate.forward(walked(STEADY * 2, UP), anchored=True, choices=9), PASS, "Settings chosen on the"),
        (lambda: validate.forward(walked(STEADY * 2.1, UP), anchored=True, choices=1), WARN, "The same settings"),
        (lambda: validate.forward(walked(-1.0, UP), anchored=True, choices=9), WARN, "-1.00 before"),
        (lambda: validate.forward(walked(1.0, -UP), anchored=False, choices=9), FAIL, "in the 1 stretches"),
        (lambda: validate.forward(walked(1.0, UP * 0), anchored=False, choices=9), SKIP, "Nothing was traded"),
        (lambda: validate.forward("A hole.", anchored=False, choices=9), SKIP, "A hole."),
        (lambda: validate.crossed_folds(walked(STEADY * 2, UP), choices=9), PASS, "chosen without a fold had"),
        (lambda: validate.crossed_folds(walked(STEADY * 2.1, UP), choices=1), WARN, "in the others"),
        (lambda: validate.crossed_folds(walked(1.0, -UP), choices=9), FAIL, "in the 1 folds that were left out"),
        (lambda: validate.crossed_folds("Too short.", choices=9), SKIP, "Too short."),
        (lambda: validate.combinations([UP, UP]), PASS, "Over 2 out-of-sample paths"),
        (lambda: validate.combinations([UP, UP, -UP]), WARN, "lies between -6"),
        (lambda: validate.combinations([UP, -UP, -UP]), FAIL, "in the middle at -6"),
        (lambda: validate.combinations("Why."), SKIP, "Why."),
        (lambda: validate.costs({0.0: 0.3, 1.0: 0.2, 2.0: 0.1, 3.0: -0.1}), PASS, "30.0% at 0x, 20.0% at 1x"),
        (lambda: validate.costs({1.0: 0.1, 2.0: 0.0}), WARN, "of the costs that are configured"),
        (lambda: validate.costs({1.0: -0.1, 2.0: -0.2}), FAIL, "-10.0% at 1x"),
        (lambda: noise(1.0, np.r_[np.full(9, 0.6), -0.1]), PASS, "90% of the runs earn money"),
        (lambda: noise(2.0, np.r_[np.full(9, 0.6), -0.1]), WARN, "0.60 instead of 2.00, and the return lies between 2."),
        (lambda: noise(1.0, np.r_[np.full(8, 0.6), -0.1, -0.1]), WARN, "80%"),
        (lambda: noise(1.0, np.r_[np.full(4, 0.6), np.full(6, -0.1)]), FAIL, "40%"),
        (lambda: noise(1.0, np.array([])), SKIP, "was asked for"),
        (lambda: validate.resampled(paths([1.1] * 20)), PASS, "between 10.0% and 10.0% (90% band)"),
        (lambda: validate.resampled(paths([0.8] * 4 + [1.2] * 16)), WARN, "20.0% in the middle"),
        (lambda: validate.resampled(paths([0.8] * 12 + [1.2] * 8)), FAIL, "-20.0% in the middle"),
        (lambda: validate.falls(paths([1] * 20, [-0.2] * 20), None, 0.25), PASS, "falls by 20.0% or more; the limit is 25%"),
        (
            lambda: validate.falls(paths([1] * 20, [-0.2] * 20), paths([1] * 20, [-0.3] * 20), 0.25),
            WARN,
            "; with its trades in another order it falls by 30.0% to 30.0% (90% band); the limit is 25%.",
        ),
        (lambda: validate.falls(paths([1] * 20, [-0.3] * 20), None, 0.25), FAIL, "30.0%"),
        (lambda: validate.ruin(paths([1] * 100, lowest=[0.4] + [0.9] * 99)), PASS, "1.0% of 100 redrawn paths lose 50%"),
        (lambda: validate.ruin(paths([1] * 100, lowest=[0.5] * 5 + [0.9] * 95)), WARN, "5.0%"),
        (lambda: validate.ruin(paths([1] * 100, lowest=[0.5] * 6 + [0.9] * 94)), FAIL, "6.0%"),
    ],
)  # fmt: skip
def test_a_check_marks_and_says(make: Callable[[], Check], mark: Mark, told: str) -> None:
    found = make()

    assert (found.mark, told in found.sentence) == (mark, True), found.sentence
    assert found.sentence.endswith(".")
    assert "nan" not in found.sentence.lower()


def test_counted_trials_say_how_much_luck_there_is_and_neighbours_while_they_are_few() -> None:
    neighbours = np.array([0.1, 0.2, 0.3, 0.4])

    none = Luck.of(Tried(()), 1, np.array([]), 101)
    near = Luck.of(Tried((0.1,)), 1, neighbours, 101)
    few = Luck.of(Tried((0.0, 0.9)), 1, neighbours, 101)
    many = Luck.of(Tried((0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2)), 3, neighbours, 101)
    stated = Luck.of(Tried((0.1,)), 400, np.array([]), 101)

    assert none == Luck(1, 0.01)
    assert [each.trials for each in (near, few, many)] == [1, 2, 10]
    assert near.variance == pytest.approx(np.var(neighbours, ddof=1))
    assert few.variance == pytest.approx(0.405)
    assert many.variance == pytest.approx(0.025 / 9)
    assert stated.trials == 400


@given(st.lists(st.sampled_from(list(Mark)), min_size=1, max_size=15))
def test_the_verdict_is_the_worst_mark_and_names_what_is_wrong(marks: list[Mark]) -> None:
    checks = [Check(f"k{at}", f"Check {at}", mark, "So.") for at, mark in enumerate(marks)]

    mark, sentence = overall(checks)

    made = [each for each in marks if each is not SKIP]
    assert mark is (FAIL if FAIL in made else WARN if WARN in made else PASS)
    if mark is not PASS:
        assert all(check.name.lower() in sentence for check in checks if check.mark is mark)
        assert f"{made.count(mark)} of {len(made)} checks" in sentence


def verdict(name: str = "EmaCross", **details: object) -> Verdict:
    checks = [Check("skill", "Better than nothing", FAIL, f"It is {name}.", {"probability": None})]
    return Verdict(
        name,
        ["BTC/USDT@BINANCE"],
        ["a", "b"],
        *overall(checks),
        checks,
        {"runs": 1, "seed": 1, **details},
        "1",
        "f",
    )


def test_the_page_is_one_file_without_scripts_and_safe_against_hostile_names() -> None:
    walks = {
        "anchored": [
            {
                "train": [["a", "b"], ["c", "d"]],
                "test": ["b", "c"],
                "values": {"<x>": {"y": "</td>"}},
                "inside": None,
                "outside": 1.0,
            }
        ]
    }

    page = render(verdict("<script>alert(1)</script>", walks=walks), "abidance verdict -s '<b>'")

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "y &lt;/td&gt;" in page
    assert "a to b</span> and <span" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "src=" not in page
    assert "default-src 'none'" in page


def test_the_page_says_why_the_event_engine_made_runs() -> None:
    assert "which takes longer: It is so." in render(verdict(fallback="It is so."))
    assert "which takes longer" not in render(verdict(fallback=""))


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1.0, float("inf"), 2.0]])
def test_pictures_stand_whatever_they_show(values: list[float]) -> None:
    fan = {"rows": [0, 1], "bands": [[1, 1], [1, 1], [1, 1]], "own": [1, 1]}
    fans = {"resampled": fan, "shuffled": fan, "noise": fan}

    page = render(
        verdict(fans=fans, timing={"observed": 1.0, "shifted": values}, logits=values, falls=[-0.1, -0.1])
    )

    assert page.count('<svg class="picture"') == 6
    assert page.count('class="area"') == 3
    assert "nan" not in page[page.index("pictures-title") :]


def test_the_json_holds_every_check_and_no_number_that_is_none() -> None:
    found = msgspec.json.decode(to_json(verdict(falls=[float("nan"), -0.1])))

    assert found["mark"] == "fail"
    assert found["checks"][0]["figures"] == {"probability": None}
    assert found["details"]["falls"] == [None, -0.1]
