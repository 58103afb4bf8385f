"""One study, one real database, two processes that believe to be on two hosts: what remains when one is killed."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.storages import RDBStorage

from abidance.research.crew import Alone
from abidance.research.objective import Aim, Objective, Outcome, Refusal
from abidance.research.optimise import Effort, Ending, Search
from abidance.research.space import Dimension, Space
from abidance.research.storage import Pulse, database
from abidance.research.study import SILENT, Plan, Study
from tests.postgres import server

POINTS, TOGETHER = 12, -1
PLAN = Plan(
    "shared", "grid", 0, Space({"a": Dimension("a", 0, POINTS - 1, 1)}), Aim((Objective("sharpe"),)), {}
)
HOST = """
import os, signal, socket, sys, time
from pathlib import Path

host, url, log, hold = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
socket.gethostname = lambda: host

from abidance.research import optimise
from abidance.research.crew import Alone
from abidance.research.objective import Outcome
from abidance.research.storage import Pulse, database
from abidance.research.study import Study
from tests.unit.research.test_studies_across_hosts import PLAN

optimise.LOOK = 0.2
done = []

def evaluate(values):
    done.append(values["a"])
    with log.open("a") as file:
        file.write(f"{host} {values['a']}\\n")
    deadline = time.monotonic() + 30
    while hold == -1 and len({line.split()[0] for line in log.read_text().splitlines()}) < 2:
        assert time.monotonic() < deadline
    if len(done) == hold:
        print("holding", flush=True)
        signal.pause()
    return Outcome((float(values["a"]),), (), {})

def observe(standing):
    if standing.elsewhere:
        print("waiting", flush=True)

study = Study(database(url, Pulse(every=1, grace=5)), PLAN)
optimise.Search(study, Alone(lambda: evaluate), optimise.Effort(12), observe).run()
"""


@pytest.fixture
def second(postgres: str) -> str:
    """Return a URL of another database of the same server."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create database second")
    return postgres.removesuffix("postgres") + "second"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL server of our own and return a URL of it."""
    with server() as url:
        yield url


@contextmanager
def opened(url: str, plan: Plan = PLAN, pulse: Pulse | None = None) -> Iterator[Study]:
    """Open a study as a host does, and leave no connection behind."""
    storage = database(url, pulse or Pulse(every=1, grace=5))
    assert isinstance(storage, RDBStorage)
    yield Study(storage, plan)
    storage.remove_session()
    storage.engine.dispose()


def started(folder: Path, host: str, url: str, hold: int) -> subprocess.Popen[str]:
    program = folder / "host.py"
    program.write_text(HOST)
    return subprocess.Popen(
        [sys.executable, str(program), host, url, str(folder / "log.txt"), str(hold)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.mark.slow
def test_what_a_killed_host_had_in_hand_is_tried_by_another_and_nothing_counts_twice(
    tmp_path: Path, postgres: str
) -> None:
    doomed = started(tmp_path, "one", postgres, 3)
    assert doomed.stdout is not None
    assert doomed.stdout.readline() == "holding\n"
    heir = started(tmp_path, "two", postgres, 0)
    assert heir.stdout is not None
    # longer than the silence after which a host is given up: one that holds a trial for long, but lives, keeps it
    assert [heir.stdout.readline() for _ in range(28)] == ["waiting\n"] * 28
    with opened(postgres) as study:
        before = Counter(row.state for row in study.rows())

    doomed.kill()
    doomed.communicate()
    heir.communicate(timeout=60)

    assert before == {"complete": POINTS - 1, "running": 1}
    assert (doomed.returncode, heir.returncode) == (-9, 0)
    with opened(postgres) as study:
        rows, spent = study.rows(), study.spent()
    done = [row.values["a"] for row in rows if row.state == "complete"]
    assert sorted(done) == list(range(POINTS))
    (lost,) = [row for row in rows if row.state != "complete"]
    assert (lost.state, lost.reason) == ("failed", SILENT)
    ran = [line.split() for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert Counter(int(point) for _, point in ran) == Counter(range(POINTS)) + Counter([lost.values["a"]])
    assert {host for host, point in ran if int(point) == lost.values["a"]} == {"one", "two"}
    assert spent == POINTS


def test_hosts_that_search_at_once_try_every_point_once_between_them(tmp_path: Path, second: str) -> None:
    both = [started(tmp_path, host, second, TOGETHER) for host in ("one", "two")]
    for each in both:
        each.communicate(timeout=60)

    with opened(second) as study:
        rows, spent = study.rows(), study.spent()
    assert [each.returncode for each in both] == [0, 0]
    assert {row.values["a"] for row in rows if row.state == "complete"} == set(range(POINTS))
    assert {row.state for row in rows} <= {"complete", "failed"}
    assert spent == POINTS
    ran = [line.split()[0] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert set(ran) == {"one", "two"}


def test_an_answer_that_comes_after_its_host_was_given_up_counts_nothing(postgres: str) -> None:
    plan = Plan("late", "random", 0, Space({"a": Dimension("a", 0.0, 1.0)}), PLAN.aim, {})
    pulse = Pulse(every=1, grace=1)
    with opened(postgres, plan, pulse) as silent, opened(postgres, plan, pulse) as other:
        begun = silent.ask()  # and nobody beats for it
        other._storage.create_new_trial(other._study._study_id)  # a host that died before its first beat

        found, deadline = 0, time.monotonic() + 30
        while found < 2 and time.monotonic() < deadline:
            found += other.recover()
        again = other.ask()
        silent.tell(begun.number, Outcome((1.0,), (), {}))
        other.tell(again.number, Outcome((2.0,), (), {}))
        rows, spent = other.rows(), other.spent()

    assert found == 2
    assert again.values == begun.values
    assert [row.scores for row in rows if row.is_scored] == [(2.0,)]
    assert [row.reason for row in rows if row.state == "failed"] == [SILENT, SILENT]
    assert spent == 1


def test_hosts_that_begin_their_last_trial_at_once_make_one_of_it(postgres: str) -> None:
    space = Space({"a": Dimension("a", 0.0, 1.0)})
    plan = Plan("last", "random", 0, space, PLAN.aim, {})
    with opened(postgres, plan) as one, opened(postgres, plan) as two:
        Search(one, Alone(lambda: lambda values: Outcome((1.0,), (), {})), Effort(4)).run()

        mine, theirs = one.ask(5), two.ask(5)
        spent = two.spent()
        ending = Search(two, Alone(lambda: lambda _: Refusal("ran")), Effort(4)).run()
        after = two.rows()[mine.number].state

    assert (mine.state, theirs.state) == ("running", "failed")
    assert spent == 5
    assert (ending, after) == (Ending.DONE, "running")  # who asks for fewer does not wait for others
