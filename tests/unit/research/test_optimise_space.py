import pytest

from abidance.model.errors import UsageError
from abidance.research.objective import Aim, Objective, Requirement
from abidance.research.space import Dimension, Space, of_parameter, read
from abidance.strategy.parameters import Parameter


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("5:50", int, Dimension("x", 5, 50)),
        ("5:50:5", int, Dimension("x", 5, 50, 5)),
        ("5:52:5", int, Dimension("x", 5, 50, 5)),
        ("0.1:0.5:0.1", float, Dimension("x", 0.1, 0.5, 0.1)),
        ("1:2", float, Dimension("x", 1.0, 2.0)),
        ("0.01:0.1", None, Dimension("x", 0.01, 0.1)),
        ("1:5", None, Dimension("x", 1, 5)),
        ("-3:-1", int, Dimension("x", -3, -1)),
        ("10,20,10", int, Dimension("x", choices=(10, 20))),
        ("true,false", bool, Dimension("x", choices=(True, False))),
        ("a,b", str, Dimension("x", choices=("a", "b"))),
        ("20", int, 20),
        ("1e-3", float, 0.001),
    ],
)
def test_what_is_typed_for_a_dimension_is_read(text, kind, expected):
    assert read("x", text, kind) == expected


@pytest.mark.parametrize(
    "text",
    [
        "50:5",
        "5:5",
        "5:10:0",
        "5:10:-1",
        "5:10:6",
        "",
        "5:",
        ":",
        "1:2:3:4",
        "nan:1",
        "inf",
        "__import__('os')",
    ],
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UsageError):
        read("x", text, int)


def test_whole_numbers_are_insisted_on_where_the_parameter_is_whole():
    with pytest.raises(UsageError, match="whole number"):
        read("x", "1.5:3", int)


def test_a_parameter_is_searched_over_its_range_or_choices_and_not_at_all_without():
    assert of_parameter("x", Parameter(20, 2, 200)) == Dimension("x", 2, 200)
    assert of_parameter("x", Parameter(0.5, 0, 1)) == Dimension("x", 0.0, 1.0)
    assert of_parameter("x", Parameter("a", choices=("a", "b"))) == Dimension("x", choices=("a", "b"))
    assert of_parameter("x", Parameter(20)) is None
    assert of_parameter("x", Parameter(False)) is None


def test_neighbours_are_one_step_away_and_stay_inside():
    assert Dimension("x", 0, 10, 5).beside(5) == (0, 10)
    assert Dimension("x", 0, 10, 5).beside(10) == (5,)
    assert Dimension("x", 0.1, 0.5, 0.1).beside(0.2) == (0.1, 0.3)
    assert Dimension("x", 0, 100).beside(50) == (45, 55)
    assert Dimension("x", choices=(3, 1, 2)).beside(2) == (1, 3)
    assert Dimension("x", choices=("a", "b")).beside("a") == ()


def test_the_grid_holds_every_point_once():
    space = Space({"a": Dimension("a", 1, 2), "b": Dimension("b", 0.1, 0.3, 0.1)})

    points = space.grid()

    assert len(points) == 6
    assert {(point["a"], point["b"]) for point in points} == {(a, b) for a in (1, 2) for b in (0.1, 0.2, 0.3)}
    assert all(space.holds(point) for point in points)


def test_a_grid_without_steps_or_without_end_is_refused():
    with pytest.raises(UsageError, match="step"):
        Space({"a": Dimension("a", 0.0, 1.0)}).grid()
    with pytest.raises(UsageError, match="points"):
        Space({name: Dimension(name, 1, 1000) for name in "ab"}).grid()


def test_an_empty_space_is_refused():
    with pytest.raises(UsageError, match="nothing to search"):
        Space({})


def test_an_objective_has_the_direction_that_is_meant_unless_typed():
    assert Objective.read("sharpe") == Objective("sharpe", maximise=True)
    assert Objective.read("max_drawdown") == Objective("max_drawdown", maximise=True)
    assert Objective.read("turnover") == Objective("turnover", maximise=False)
    assert Objective.read("sharpe:min") == Objective("sharpe", maximise=False)
    assert Objective.read("a/b.py:f:min") == Objective("a/b.py:f", maximise=False)


@pytest.mark.parametrize(("text", "near"), [("sharp", "sharpe"), ("max_drawdwn", "max_drawdown")])
def test_an_unknown_metric_is_refused_with_the_nearest(text, near):
    with pytest.raises(UsageError, match=near):
        Objective.read(text)


@pytest.mark.parametrize(
    ("text", "value", "is_fulfilled"),
    [
        ("max_drawdown > -0.3", -0.2, True),
        ("max_drawdown > -0.3", -0.3, False),
        ("trades>=30", 30.0, True),
        ("trades >= 30", 29.0, False),
        ("turnover < 1e2", 99.0, True),
        ("turnover <= 100", None, False),
        ("turnover <= 100", float("nan"), False),
    ],
)
def test_a_requirement_is_fulfilled_or_not(text, value, is_fulfilled):
    assert (Requirement.read(text).excess(value) <= 0) is is_fulfilled


@pytest.mark.parametrize(
    "text", ["trades", "trades = 3", "30 < trades", "trades > x", "__import__('os') > 1", "a.b > 1"]
)
def test_what_is_no_requirement_is_refused(text):
    with pytest.raises(UsageError):
        Requirement.read(text)


def test_an_objective_is_given_once():
    with pytest.raises(UsageError, match="twice"):
        Aim.read(["sharpe", "sharpe:min"], [])
