"""The page of a search: what is drawn of the ground around the best."""

import re

import pytest

from abidance.research.findings import Findings
from abidance.research.landscape import best_of, survey
from abidance.research.objective import Aim, Objective, Outcome, Refusal
from abidance.research.space import Dimension, Space, Values
from abidance.research.study import Plan, Row
from abidance.research.study_page import SMALL, render_study

SPACE = Space({"a": Dimension("a", 0, 9, 1), "b": Dimension("b", choices=(40, 10, 20))})


def height(values: Values) -> float:
    return 10.0 - abs(int(values["a"]) - 5) - abs(int(values["b"]) - 20) / 4


def page(refused: tuple[object, ...] = (), *, maximise: bool = True) -> str:
    aim = Aim((Objective("sharpe", maximise),))
    sign = 1.0 if maximise else -1.0
    tried: list[Values] = [{"a": a, "b": b} for a in range(10) for b in (20, 40) if a not in refused]
    rows = [Row(at, "complete", values, (sign * height(values),)) for at, values in enumerate(tried)]
    best = best_of(rows, aim)
    assert best is not None

    def evaluate(points: list[Values]) -> list[Outcome | Refusal]:
        return [
            Refusal("no") if each["a"] in refused else Outcome((sign * height(each),), (), {})
            for each in points
        ]

    return render_study(
        Findings(
            study="test", where="here", ending="done", plan=Plan("test", "tpe", 0, SPACE, aim), rows=rows,
            best=best, front=[], importance={}, ground=survey(best, rows, SPACE, aim, evaluate), judged=[], config={},
            current={}, periods=("", ""), seconds=1.0,
        )
    )  # fmt: skip


def drawn(text: str) -> dict[str, tuple[list[tuple[str, float, str]], float]]:
    """Return by parameter the dots (class, height in the drawing, words) from left to right, and the dashed line."""
    section = text[text.index('id="ground"') : text.index('aria-labelledby="trials"')]
    found = {}
    for figure in re.findall(r"<figure>.*?</figure>", section, re.DOTALL):
        (name,) = re.findall(r"<strong>(.*?)</strong>", figure)
        dots = re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)".*?<title>(.*?)</title>', figure)
        (level,) = re.findall(r'class="level".*?y1="([\d.]+)"', figure)
        assert [float(x) for _, x, _, _ in dots] == sorted(float(x) for _, x, _, _ in dots)
        assert "polyline" in figure
        found[name] = ([(kind, float(y), words) for kind, _, y, words in dots], float(level))
    return found


@pytest.mark.parametrize("maximise", [True, False])
def test_the_best_stands_between_its_neighbours_and_the_middle_trial_below_them(maximise: bool) -> None:
    text = page(maximise=maximise)

    found = drawn(text)

    assert list(found) == ["a", "b"]
    steps, level = found["a"]
    assert [kind for kind, _, _ in steps] == ["point", "mark", "point"]
    (_, left, _), (_, summit, words), (_, right, _) = steps
    assert words.startswith("the best: a 5")
    assert left == right
    edges = sorted((summit, level))
    assert edges[0] < left < edges[1]
    assert 0 <= summit <= SMALL[1]
    assert found["b"][1] == level  # one scale for all
    assert [words.split(":")[0] for _, _, words in found["b"][0]] == ["b 10", "the best", "b 40"]
    assert "Lead lost" in text  # the table stays


def test_a_neighbour_without_a_score_is_left_out_of_the_drawing_and_kept_in_the_table() -> None:
    text = page(refused=(4,))

    steps, _ = drawn(text)["a"]

    assert [words.split(":")[0] for _, _, words in steps] == ["the best", "a 6"]
    assert "no</td>" in text
