import os
from pathlib import Path

import optuna
import pytest

from abidance.model.errors import StrategyError, UsageError
from abidance.research.crew import Alone, CrewError, Processes
from abidance.research.landscape import front_of, survey
from abidance.research.objective import Aim, Objective, Outcome, Refusal, Requirement
from abidance.research.optimise import Effort, Ending, Search
from abidance.research.sampling import check_sampler, sampler_named
from abidance.research.space import Dimension, Space
from abidance.research.storage import StudyError, database, journal, masked
from abidance.research.study import TRIES, Plan, Row, Study

SPACE = Space({"a": Dimension("a", 0, 20), "b": Dimension("b", 0.0, 1.0, 0.1)})
ONE = Aim((Objective("sharpe"),), (Requirement("trades", ">=", 1.0),))


def hill(values):
    score = -((values["a"] - 7) ** 2) - (values["b"] - 0.4) ** 2
    return Outcome((score,), (-1.0,), {"trades": 2.0})


def make_hill():
    return hill


def always_dies(values):
    os._exit(9)


def make_always_dies():
    return always_dies


def raises(values):
    raise StrategyError("The data are gone.", "Look for them.")


def make_raises():
    return raises


def plan(sampler="tpe", space=SPACE, aim=ONE, seed=0, **pins):
    return Plan("test", sampler, seed, space, aim, {"strategy": "s", "data": "d", "settings": "c", **pins})


def study_in(folder: Path, made: Plan | None = None, *, fresh: bool = False) -> Study:
    return Study(journal(folder / "test.journal"), made or plan(), fresh=fresh)


class Noted:
    """An evaluation that remembers what it was asked."""

    def __init__(self, evaluate=hill):
        self.asked = []
        self._evaluate = evaluate

    def __call__(self, values):
        self.asked.append(values)
        return self._evaluate(values)


def search(study, epochs, evaluate=hill, patience=None):
    return Search(study, Alone(lambda: evaluate), Effort(epochs, patience)).run()


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "random", "cmaes", "nsga2"])
def test_every_sampler_searches_and_one_worker_repeats(tmp_path, sampler):
    aim = Aim(ONE.objectives)

    def run(name):
        study = Study(journal(tmp_path / name), plan(sampler, aim=aim))
        search(study, 25, lambda values: Outcome((hill(values).scores[0],), (), {}))
        return study.rows()

    first, second = run("one"), run("two")

    assert first == second
    assert len(first) == 25
    assert max(row.scores[0] for row in first) > -20


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tpe", optuna.samplers.TPESampler),
        ("cmaes", optuna.samplers.CmaEsSampler),
        ("nsga2", optuna.samplers.NSGAIISampler),
        ("random", optuna.samplers.RandomSampler),
    ],
)
def test_a_sampler_is_what_its_name_says(name, kind):
    assert type(vars(sampler_named(name, 1, SPACE, set))["_inner"]) is kind
    assert type(sampler_named("qmc", 1, SPACE, set)) is optuna.samplers.QMCSampler


def test_a_grid_tries_every_point_once_and_ends(tmp_path):
    space = Space({"a": Dimension("a", 0, 3), "b": Dimension("b", 0.1, 0.3, 0.1)})
    study = study_in(tmp_path, plan("grid", space))

    search(study, 12)

    assert len({tuple(row.values.items()) for row in study.rows()}) == 12


def test_a_study_goes_on_with_its_numbers_and_knows_what_it_tried(tmp_path):
    search(study_in(tmp_path), 6)

    again = study_in(tmp_path)
    ran = Noted()
    search(again, 10, ran)

    assert [row.number for row in again.rows()] == list(range(10))
    assert 1 <= len(ran.asked) <= 4
    assert again.rows()[:6] == study_in(tmp_path).rows()[:6]


def test_a_study_that_has_enough_runs_nothing_more(tmp_path):
    search(study_in(tmp_path), 6)

    ending = search(study_in(tmp_path), 6, lambda _: pytest.fail("ran"))

    assert ending is Ending.DONE


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (plan(strategy="other"), "version of the strategy"),
        (plan(data="other"), "other bars"),
        (plan(settings="other"), "settings"),
        (plan(space=Space({"a": Dimension("a", 0, 21)})), "another search"),
    ],
)
def test_a_study_of_something_else_is_not_continued(tmp_path, changed, words):
    search(study_in(tmp_path), 3)

    with pytest.raises(UsageError, match=words):
        study_in(tmp_path, changed)

    assert len(study_in(tmp_path, changed, fresh=True).rows()) == 0


def test_an_equal_setting_is_not_run_again(tmp_path):
    space = Space({"a": Dimension("a", 0, 1)})
    study = study_in(tmp_path, plan(space=space))
    ran = Noted(lambda _: Outcome((1.0,), (0.0,), {}))

    search(study, 12, ran)

    assert len(ran.asked) == 2
    assert study.spent() == 12


def test_what_has_no_score_is_told_and_left_out(tmp_path):
    study = study_in(tmp_path)

    search(study, 10, lambda values: hill(values) if values["a"] > 5 else Refusal("a is too small"))

    rows = study.rows()
    assert {row.reason for row in rows if row.state == "refused"} == {"a is too small"}
    assert all(row.scores == () for row in rows if row.state == "refused")
    assert len(rows) == 10


def test_a_search_without_any_score_ends_with_the_reason(tmp_path):
    with pytest.raises(StrategyError, match="nothing traded"):
        search(study_in(tmp_path), 100, lambda _: Refusal("nothing traded"))

    assert len(study_in(tmp_path).rows()) == 20


def test_patience_ends_a_search_that_finds_nothing_better(tmp_path):
    study = study_in(tmp_path)

    ending = search(study, 100, lambda _: Outcome((1.0,), (0.0,), {}), patience=7)

    assert ending is Ending.SETTLED
    assert len(study.rows()) == 8


def test_ctrl_c_keeps_the_study_and_the_setting_in_hand(tmp_path):
    study, ran = study_in(tmp_path), []

    def interrupted(values):
        ran.append(values)
        if len(ran) == 4:
            raise KeyboardInterrupt
        return hill(values)

    ending = search(study, 10, interrupted)
    after = Noted()
    search(study_in(tmp_path), 10, after)

    assert ending is Ending.INTERRUPTED
    assert after.asked[0] == ran[3]
    assert study_in(tmp_path).spent() == 10


def test_what_a_dead_process_left_is_given_out_again_a_bounded_number_of_times(tmp_path):
    tried = []
    for _ in range(TRIES):
        study = study_in(tmp_path)
        row = study.ask()
        tried.append(row.values)
        study._asked[row.number].set_user_attr(
            "owner", {"host": os.uname().nodename, "pid": 2**22 + 1, "born": "1"}
        )
        assert study_in(tmp_path).recover() == 1

    last = study_in(tmp_path)

    assert tried == [tried[0]] * TRIES
    assert last.ask().values != tried[0]
    assert [row.state for row in last.rows()] == ["failed"] * TRIES + ["running"]


def test_what_a_living_process_runs_is_left_alone(tmp_path):
    study_in(tmp_path).ask()

    assert study_in(tmp_path).recover() == 0


def test_a_line_that_a_crash_tore_is_cut_off(tmp_path):
    search(study_in(tmp_path), 5)
    path = tmp_path / "test.journal"
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"wor')

    again = study_in(tmp_path)
    search(again, 8)

    assert [row.number for row in again.rows()] == list(range(8))
    assert [row.number for row in study_in(tmp_path).rows()] == list(range(8))


@pytest.mark.parametrize(
    "content", [b"no journal at all\n", b"\x00\xff\n", b"[1, 2]\n", b'{"op_code": 99}\n']
)
def test_what_is_no_journal_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "test.journal"
    path.write_bytes(content)

    with pytest.raises(StudyError, match="journal"):
        study_in(tmp_path)

    assert path.read_bytes() == content


def test_a_worker_that_dies_takes_no_other_along(tmp_path):
    study = study_in(tmp_path, plan("grid", Space({"a": Dimension("a", 0, 5)})))
    crew = Processes(make_dies_grid, 2)
    try:
        Search(study, crew, Effort(6)).run()
    finally:
        crew.close()

    rows = study.rows()
    scored = {row.values["a"] for row in rows if row.state == "complete"}
    assert scored == {0, 2, 4}
    assert {row.values["a"] for row in rows if row.state == "failed"} == {1, 3, 5}
    assert all("code 3" in row.reason for row in rows if row.state == "failed")


def dies_grid(values):
    if values["a"] % 2:
        os._exit(3)
    return Outcome((float(values["a"]),), (0.0,), {})


def make_dies_grid():
    return dies_grid


def test_workers_that_all_die_end_the_search_and_the_study_is_kept(tmp_path):
    crew = Processes(make_always_dies, 1)
    try:
        with pytest.raises(CrewError, match="died one after another"):
            Search(study_in(tmp_path), crew, Effort(50)).run()
    finally:
        crew.close()

    assert {row.state for row in study_in(tmp_path).rows()} <= {"failed", "waiting"}


def test_what_no_worker_can_get_over_ends_the_search_with_its_remedy(tmp_path):
    crew = Processes(make_raises, 1)
    try:
        with pytest.raises(StrategyError) as caught:
            Search(study_in(tmp_path), crew, Effort(5)).run()
    finally:
        crew.close()

    assert (caught.value.found, caught.value.remedy) == ("The data are gone.", "Look for them.")


def test_the_front_holds_what_nothing_beats():
    aim = Aim((Objective("sharpe"), Objective("turnover", maximise=False)))
    scores = [(1.0, 5.0), (2.0, 5.0), (3.0, 9.0), (0.5, 1.0), (2.0, 6.0), (3.0, 9.0)]
    rows = [Row(number, "complete", {"a": number}, score) for number, score in enumerate(scores)]

    assert [row.number for row in front_of(rows, aim)] == [2, 5, 1, 3]


def ground(scores, space=None):
    """Return the ground around the best of a table of scores over one or two dimensions."""
    aim = Aim((Objective("sharpe"),))
    rows = [Row(number, "complete", dict(values), (score,)) for number, (values, score) in enumerate(scores)]
    best = max(rows, key=lambda row: row.scores[0])
    return survey(
        best,
        rows,
        space or Space({"a": Dimension("a", 0, 9, 1)}),
        aim,
        lambda points: [Refusal("no")] * len(points),
    )


def line(*values):
    return [((("a", number),), value) for number, value in enumerate(values)]


def test_level_ground_is_a_plateau_and_a_lone_find_a_peak():
    assert ground(line(0, 0, 1, 9, 10, 9, 1, 0, 0, 0)).shape == "plateau"
    assert ground(line(0, 0, 1, 0, 10, 1, 0, 1, 0, 0)).shape == "peak"
    assert ground(line(0, 0, 1)).shape == "unknown"


def test_ground_that_falls_in_one_dimension_is_a_ridge():
    space = Space({"a": Dimension("a", 0, 4, 1), "b": Dimension("b", 0, 4, 1)})
    scores = [((("a", a), ("b", b)), 10 - a * 0.1 - 4 * abs(b - 2)) for a in range(5) for b in range(5)]

    found = ground(scores, space)

    assert found.shape == "ridge"
    assert "b" in found.sentence


def test_cmaes_is_refused_what_it_cannot_do():
    with pytest.raises(UsageError, match="objective"):
        check_sampler("cmaes", SPACE, 2)
    with pytest.raises(UsageError, match="requirements"):
        check_sampler("cmaes", SPACE, 1, 1)
    with pytest.raises(UsageError, match="two ranges"):
        check_sampler("cmaes", Space({"a": Dimension("a", 0, 1)}), 1)


def test_a_password_is_never_shown():
    assert masked("postgresql://me:secret@host/x") == "postgresql://me:***@host/x"
    with pytest.raises(UsageError) as caught:
        database("mysql://me:secret@host/x")
    assert "secret" not in str(caught.value)
