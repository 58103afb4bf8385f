"""Studies that were begun in a terminal: listed as they stand, read and never written."""

import gc
import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.api.studies import Studies
from abidance.research.objective import Aim, Outcome, Refusal
from abidance.research.space import Dimension, Space
from abidance.research.storage import database, journal
from abidance.research.study import Plan, Study
from tests.postgres import driver, server
from tests.unit.api.conftest import CHANGE, QUICK, logged_in

SPACE = Space({"fast": Dimension("fast", 2, 900)})


@pytest.fixture
def viewer(nobody: TestClient, house: House) -> TestClient:
    return logged_in(nobody, house, "viewer")


def file_of(house: House, name: str) -> Path:
    return house.userdir / "studies" / f"{name}.journal"


def begun(house: House, *objectives: str, requirements: tuple[str, ...] = (), name: str = "mine") -> Study:
    """Begin a study as `abidance optimize --name mine` does."""
    plan = Plan(name, "random", 3, SPACE, Aim.read(objectives, requirements))
    return Study(journal(file_of(house, name)), plan)


def tried(study: Study, *scores: float, excess: tuple[float, ...] = ()) -> int:
    """End one trial with a score."""
    number = study.ask().number
    study.tell(number, Outcome(scores, excess, {}))
    return number


def test_a_study_of_the_terminal_is_listed_with_its_state_trials_and_best(
    viewer: TestClient, house: House
) -> None:
    study = begun(house, "sharpe", requirements=("trades >= 5",))
    tried(study, 1.0, excess=(-1.0,))
    best = tried(study, 1.5, excess=(-1.0,))
    tried(study, 9.0, excess=(2.0,))  # misses the requirement
    study.tell(study.ask().number, Refusal("It never traded."))
    at_work = study.ask()

    found = viewer.get("/api/v1/studies").json()["items"]

    assert len(found) == 1
    (shown,) = found
    assert (shown["name"], shown["state"], shown["is_ours"], shown["problem"]) == (
        "mine",
        "running",
        False,
        "",
    )
    assert (shown["done"], shown["refused"], shown["failed"]) == (4, 1, 0)
    assert shown["objectives"] == ["sharpe:max"]
    assert (shown["best"]["number"], shown["best"]["scores"]) == (best, [1.5])
    assert shown == viewer.get("/api/v1/studies/mine").json()
    trials = viewer.get("/api/v1/studies/mine/trials?limit=2").json()
    assert [each["number"] for each in trials["items"]] == [at_work.number, at_work.number - 1]
    assert trials["items"][1]["reason"] == "It never traded."
    assert trials["total"] == 5


def test_pages_of_studies_stay_as_they_are_while_one_goes_on_another_is_removed_and_a_third_comes(
    viewer: TestClient, house: House
) -> None:
    studies = [begun(house, "sharpe", name=f"study{number}") for number in range(6)]
    for study in studies:
        tried(study, 1.0)
    first = viewer.get("/api/v1/studies?limit=2").json()

    tried(studies[0], 2.0)  # the oldest one is the one that changed last now
    file_of(house, "study5").unlink()
    tried(begun(house, "sharpe", name="study6"), 1.0)
    second = viewer.get(f"/api/v1/studies?limit=2&cursor={first['next']}").json()
    third = viewer.get(f"/api/v1/studies?limit=2&cursor={second['next']}").json()

    names = [[each["name"] for each in page["items"]] for page in (first, second, third)]
    assert names == [["study5", "study4"], ["study3", "study2"], ["study1", "study0"]]
    assert third["next"] is None


def test_a_study_rests_when_nobody_is_at_it_and_what_came_since_is_seen(
    viewer: TestClient, house: House
) -> None:
    study = begun(house, "sharpe")
    tried(study, 1.0)

    before = viewer.get("/api/v1/studies/mine").json()
    tried(study, 2.0)
    after = viewer.get("/api/v1/studies/mine").json()

    assert (before["state"], before["done"], before["best"]["scores"]) == ("resting", 1, [1.0])
    assert (after["state"], after["done"], after["best"]["scores"]) == ("resting", 2, [2.0])


def test_with_several_objectives_there_is_no_one_best(viewer: TestClient, house: House) -> None:
    tried(begun(house, "sharpe", "max_drawdown"), 1.0, float("inf"))

    shown = viewer.get("/api/v1/studies/mine").json()
    trials = viewer.get("/api/v1/studies/mine/trials").json()["items"]

    assert (len(shown["objectives"]), shown["best"]) == (2, None)
    assert trials[0]["scores"] == [1.0, None]


def test_reading_a_study_changes_nothing_even_a_line_that_a_crash_tore(
    viewer: TestClient, house: House
) -> None:
    tried(begun(house, "sharpe"), 1.0)
    with file_of(house, "mine").open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    before = file_of(house, "mine").read_bytes()

    shown = viewer.get("/api/v1/studies/mine").json()

    assert (shown["done"], shown["problem"]) == (1, "")
    assert file_of(house, "mine").read_bytes() == before
    assert {path.name for path in file_of(house, "mine").parent.iterdir()} <= {
        "mine.journal",
        "mine.journal.lock",
    }


@pytest.mark.parametrize(
    "content", [b"", b"nothing of ours\n", b"[1, 2]\n", b"\xff\xfe\n" * 3, b'{"op_code": 99}\n']
)
def test_what_is_no_study_takes_no_other_away(viewer: TestClient, house: House, content: bytes) -> None:
    tried(begun(house, "sharpe"), 1.0)
    file_of(house, "odd").write_bytes(content)
    os.utime(file_of(house, "odd"), (1.0, 1.0))

    answer = viewer.get("/api/v1/studies")

    assert answer.status_code == 200
    mine, odd = answer.json()["items"]
    assert (mine["name"], mine["problem"], odd["name"]) == ("mine", "", "odd")
    assert "not the journal of a study" in odd["problem"]


def test_a_study_of_the_terminal_can_only_be_read(nobody: TestClient, house: House) -> None:
    tried(begun(house, "sharpe"), 1.0)
    admin = logged_in(nobody, house, "admin")

    answers = [
        admin.delete("/api/v1/searches/mine", headers=CHANGE),
        admin.delete("/api/v1/studies/mine", headers=CHANGE),
        admin.get("/api/v1/studies/none"),
    ]

    assert [each.status_code for each in answers] == [404, 405, 404]


def test_studies_that_hosts_share_are_listed_beside_those_in_files(house: House) -> None:
    with server() as url:
        tried(begun(house, "sharpe"), 1.0)
        plan = Plan("shared", "random", 3, SPACE, Aim.read(("sharpe",), ()))
        storage = database(url)
        tried(Study(storage, plan), 2.0)
        shared = Studies(house.userdir / "studies", url)

        found = shared.all()
        there = shared.get("shared")
        untouched = storage.get_n_trials(storage.get_study_id_from_name("shared"))
        shared.close()
        storage.engine.dispose()

    assert sorted(each.name for each in found) == ["mine", "shared"]
    assert there is not None
    assert (there.best is not None and there.best.scores, there.count("complete"), untouched) == (
        (2.0,),
        1,
        1,
    )
    assert there.changed > 1_700_000_000_000


def test_a_database_that_cannot_be_read_takes_no_file_away_and_shows_no_password(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver()
    tried(begun(house, "sharpe"), 1.0)
    monkeypatch.setenv("ABIDANCE_STUDIES", "postgresql://me:hunter2@127.0.0.1:1/x")
    other = House(house.userdir, house.tables, passwords=QUICK)

    found = {each.name: each.problem for each in other.studies.all()}
    other.close()

    assert found["mine"] == ""
    assert "cannot be read" in found["PostgreSQL"]
    assert "hunter2" not in found["PostgreSQL"]


OTHERS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


def test_a_database_without_studies_is_left_as_it_was_and_without_delay(tmp_path: Path) -> None:
    with server() as url, driver().connect(url, autocommit=True) as link:
        empty = Studies(tmp_path, url)
        gc.disable()  # nobody's connections would go with it
        try:
            (told,) = empty.all()
            while link.execute(OTHERS).fetchall():  # the server takes a moment to see that it ended
                pass
        finally:
            gc.enable()
        empty.close()
        tables = link.execute(TABLES).fetchall()

    assert "cannot be read" in told.problem
    assert tables == []
