"""`abidance optimize` as typed: studies that outlive their processes, and what is done with what they find."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program, assert_refused
from tests.postgres import server

pytest.importorskip("optuna", reason="the extra `optimise` is not installed")
pytestmark = pytest.mark.e2e

RUN = (
    "optimize",
    "-s",
    "EmaCross",
    "-p",
    "BTC/USDT",
    "--timerange",
    "20240101-20240201",
    "--engine",
    "event",
)
SPACE = ("--space", "fast=5:25:5", "--space", "slow=30:90:10")

SCORE = """
import os, signal, time
from pathlib import Path

LOG = Path(__file__).with_name("log.txt")

def note():
    with LOG.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    return LOG.read_text().split()

def killed(result):
    if len(note()) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return float(result.equity[-1])

def interrupts(result):
    if len(note()) == 5:
        os.kill(os.getppid(), signal.SIGINT)
    return float(result.equity[-1])

def together(result):
    deadline = time.monotonic() + 30
    note()
    while len(set(LOG.read_text().split())) < 2 and time.monotonic() < deadline:
        pass
    return float(result.equity[-1])

def undefined(result):
    return float("nan")

def broken(result):
    return 1 / 0

def profit(result):
    return float(result.equity[-1])

def slow(result):
    time.sleep(0.15)
    return float(len(note()))
"""


@pytest.fixture
def abidance(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    program.file("score.py", SCORE)
    return program


def found(program: Program, *typed: str, code: int = 0) -> dict[str, Any]:
    """Run a search and return its JSON."""
    path = program.home / "found.json"
    done = program(*typed, "--json", str(path))
    assert done.code == code, done
    return json.loads(path.read_text("utf-8"))  # type: ignore[no-any-return]


def trials(document: dict[str, Any], *states: str) -> list[dict[str, Any]]:
    return [trial for trial in document["trials"] if not states or trial["state"] in states]


def test_a_search_finds_shows_writes_and_its_choice_works_as_printed(abidance: Program) -> None:
    page, document = abidance.home / "study.html", abidance.home / "study.json"

    done = abidance(
        *RUN, *SPACE, "--tune", "exits.stop_loss=0.02:0.1:0.02", "--train-until", "20240120", "-e", "16", "-j", "1",
        "--require", "trades >= 2", "--html", str(page), "--json", str(document), "--apply",
    )  # fmt: skip

    assert done.code == 0, done
    assert done.err == ""
    searched = json.loads(document.read_text("utf-8"))
    best = searched["trials"][searched["best"]]
    assert best["scores"][0] == max(t["scores"][0] for t in trials(searched) if t["meets_requirements"])
    assert best["metrics"]["trades"] >= 2
    assert searched["period"] == {"searched": "20240101-20240120", "held_back": "20240120-20240201"}
    assert searched["ground"]["shape"] in {"plateau", "ridge", "peak", "slope"}
    assert 0.99 < sum(searched["importance"].values()) < 1.01
    html = page.read_text("utf-8")
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<svg") >= 4
    # what is printed is typed, and earns what the search says that it earned after its own time
    (command,) = [
        line.removeprefix("Use it:  ") for line in done.out.splitlines() if line.startswith("Use it:")
    ]
    result = abidance.home / "result.json"
    typed = shlex.split(command)
    assert typed[0] == "abidance"
    assert abidance(*typed[1:], "--json", str(result)).code == 0
    run = json.loads(result.read_text("utf-8"))
    assert run["metrics"]["final_equity"] == searched["judged"][0]["after"]["final_equity"]
    assert run["config"]["strategies"][0]["exits"]["stop_loss"] == best["parameters"]["exits.stop_loss"]


def test_one_worker_repeats_and_what_is_complete_is_not_searched_again(abidance: Program) -> None:
    first = found(abidance, *RUN, "-e", "6", "-j", "1", "--seed", "3", "--name", "one")
    second = found(abidance, *RUN, "-e", "6", "-j", "1", "--seed", "3", "--name", "two")
    again = found(abidance, *RUN, "-e", "6", "-j", "1", "--seed", "3", "--name", "one")

    assert trials(first) == trials(second) == trials(again)


def test_a_killed_search_goes_on_with_its_trials_and_numbers(abidance: Program) -> None:
    typed = (*RUN, *SPACE, "-o", "score.py:killed", "-e", "9", "-j", "1", "--seed", "1")

    killed = abidance(*typed)
    kept = (abidance.userdir / "studies" / "EmaCross.journal").read_bytes()
    document = found(abidance, *typed)

    assert killed.code == -9
    assert (abidance.userdir / "studies" / "EmaCross.journal").read_bytes().startswith(kept)
    assert [trial["number"] for trial in trials(document)] == list(range(10))
    (lost,) = trials(document, "failed")
    assert lost["reason"] == "its process died"
    assert trials(document)[lost["number"] + 1]["parameters"] == lost["parameters"]
    assert len(trials(document, "complete")) == 9


def test_two_processes_search_one_study_together(abidance: Program) -> None:
    typed = abidance.command(
        *RUN, *SPACE, "-o", "score.py:together", "-e", "14", "-j", "1", "--sampler", "random"
    )

    both = [
        subprocess.Popen(typed, cwd=abidance.home, env=abidance.environ, stdout=subprocess.DEVNULL)
        for _ in "ab"
    ]
    codes = [each.wait(60) for each in both]
    document = found(
        abidance, *RUN, *SPACE, "-o", "score.py:together", "-e", "14", "-j", "1", "--sampler", "random"
    )

    assert codes == [0, 0]
    assert {each.pid for each in both} <= {*map(int, (abidance.home / "log.txt").read_text().split())}
    numbers = [trial["number"] for trial in trials(document)]
    assert numbers == list(range(len(numbers)))
    assert len(trials(document, "complete")) == 14
    assert {trial["reason"] for trial in trials(document, "failed")} <= {"the study had enough trials"}
    assert not trials(document, "running")


def test_a_worker_that_dies_costs_its_trial_alone(abidance: Program) -> None:
    document = found(abidance, *RUN, *SPACE, "-o", "score.py:killed", "-e", "8", "-j", "2")

    (lost,) = trials(document, "failed")
    assert "killed by signal 9" in lost["reason"]
    assert len(trials(document, "complete")) == 8


def test_ctrl_c_shows_what_there_is_and_keeps_the_study(abidance: Program) -> None:
    typed = (*RUN, *SPACE, "-o", "score.py:interrupts", "-e", "9", "-j", "2")

    document = found(abidance, *typed, code=130)
    whole = found(abidance, *typed)

    assert document["ending"] == "interrupted"
    assert 1 <= len(trials(document, "complete")) < 9
    assert {trial["reason"] for trial in trials(document, "failed")} <= {"interrupted"}
    assert len(trials(whole, "complete")) == 9


def test_who_watches_sees_how_far_the_search_is_and_the_best_so_far(abidance: Program) -> None:
    ours, theirs = pty.openpty()
    told = bytearray()
    with subprocess.Popen(
        abidance.command(*RUN, *SPACE, "-o", "score.py:slow", "-e", "6", "-j", "1"),
        cwd=abidance.home,
        env=abidance.environ | {"TERM": "xterm", "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        with suppress(OSError):  # the other end is closed with the program's
            while part := os.read(ours, 65_536):
                told += part
        shown, _ = process.communicate(timeout=60)
    os.close(ours)

    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode()).replace("\r", "\n").splitlines()
    seen = [
        found
        for line in lines
        if (found := re.search(r"(\d)/6 .*best score.py:slow (\S+) fast=\d+ slow=\d+", line))
    ]
    assert process.returncode == 0
    counts, scores = [int(found[1]) for found in seen], [float(found[2]) for found in seen]
    assert counts == sorted(counts)
    assert len(set(counts)) >= 3
    assert scores == sorted(scores)  # the best so far never gets worse
    assert f"{max(scores):.4g}" in shown.decode()


def test_several_objectives_give_a_front_to_choose_from(abidance: Program) -> None:
    typed = (*RUN, *SPACE, "-o", "sharpe", "-o", "turnover", "-e", "12", "-j", "1", "--html", "front.html")

    document = found(abidance, *typed)
    nameless = abidance(*typed, "--apply")
    chosen = abidance(*typed, "--trial", str(document["front"][0]))

    front = [trials(document)[number]["scores"] for number in document["front"]]
    assert front == sorted(front, reverse=True)
    assert [score[1] for score in front] == sorted((score[1] for score in front), reverse=True)
    assert_refused(nameless, 2, "no one best trial", "--trial")
    assert f"trial {document['front'][0]}" in chosen.out
    assert "polyline" in (abidance.home / "front.html").read_text("utf-8")


def test_a_study_of_another_strategy_version_is_refused_until_it_is_begun_anew(abidance: Program) -> None:
    body = "class Mine(BarStrategy):\n    x = Parameter(1, 1, 9)\n    def signals(self, bars):\n"
    body += "        return Signals((np.arange(len(bars)) // (5 * self.x) % 2).astype(float))\n"
    abidance.strategy(body)
    typed = (
        "optimize", "-s", "Mine", "-p", "BTC/USDT", "--timerange", "20240101-20240115", "-e", "3", "-j", "1",
        "--engine", "event",
    )  # fmt: skip

    first = abidance(*typed)
    abidance.strategy(body + "# another thought\n")

    assert first.code == 0
    assert_refused(abidance(*typed), 2, "study Mine", "another version of the strategy", "--fresh")
    assert abidance(*typed, "--fresh").code == 0
    assert_refused(abidance(*typed, "--set", "dry_run_wallet=500"), 2, "other settings of the run")
    assert_refused(abidance(*typed[:6], "20240101-20240116", *typed[7:]), 2, "other bars")


@pytest.mark.timeout(400)  # the first run of a version compiles its kernels
@pytest.mark.usefixtures("kernels_are_compiled")
@pytest.mark.parametrize("objective", ["sharpe", "profit_factor"])
def test_that_the_event_engine_makes_the_runs_is_said_once_with_the_reason(
    abidance: Program, objective: str
) -> None:
    page, document = abidance.home / "study.html", abidance.home / "study.json"
    typed = (*RUN[:-2], *SPACE, "-e", "3", "-j", "1", "-o", objective, "--json", str(document))

    done = abidance(*typed, "--set", "venue.fee_asset=BTC", "--html", str(page))

    assert done.code == 0, done
    reason = "BTC/USDT@BINANCE may pay its fees with BTC that the run itself trades (`fee_asset`)."
    assert (done.out + done.err).count(reason) == 1
    (told, count), *rest = json.loads(document.read_text("utf-8"))["fallbacks"].items()
    assert told == reason
    assert count >= 3
    assert not rest
    assert page.read_text("utf-8").count(reason) == 1


def test_a_file_of_the_users_is_not_replaced_by_a_choice(abidance: Program) -> None:
    mine = abidance.file("abidance/strategies/EmaCross.toml", "# mine\n")

    done = abidance(*RUN, "-e", "2", "-j", "1", "--apply")

    assert_refused(done, 2, "EmaCross.toml was not written by a search")
    assert mine.read_text() == "# mine\n"


def test_a_choice_is_written_beside_the_file_of_its_strategy(abidance: Program) -> None:
    body = "class Mine(BarStrategy):\n    x = Parameter(1, 1, 9)\n    def signals(self, bars):\n"
    body += "        return Signals((np.arange(len(bars)) // (5 * self.x) % 2).astype(float))\n"
    file = abidance.strategy(body)
    folder = abidance.home / "elsewhere"
    folder.mkdir()
    file.rename(folder / "mine.py")

    done = abidance("optimize", "-s", "elsewhere/mine.py:Mine", *RUN[3:], "-e", "2", "-j", "1", "--apply")

    assert done.code == 0, done
    assert (folder / "Mine.toml").is_file()
    assert not list(abidance.userdir.glob("strategies/*.toml"))
    (command,) = [line for line in done.out.splitlines() if line.startswith("Use it:")]
    assert abidance(*shlex.split(command)[3:]).code == 0


TELL_CACHE = """
import runpy
from contextlib import suppress
with suppress(SystemExit):
    runpy.run_module("abidance", run_name="__main__", alter_sys=True)
from abidance.kernel.native import cache_folder
print(cache_folder())
"""


def test_compiled_code_is_kept_in_the_user_directory_that_is_named(abidance: Program) -> None:
    other = abidance.home / "other"
    typed = (*RUN[:-2], "--space", "fats=1:5", "--userdir", str(other))  # refused before anything is compiled
    unset = {"HOME": str(abidance.home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}

    done = subprocess.run(
        [sys.executable, "-c", TELL_CACHE, *typed],
        cwd=abidance.home, env=unset, timeout=60, check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert "fats" in done.stderr
    assert done.stdout.split() == [str(other / "cache" / "compiled")]


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        (("-o", "sharp"), 2, ("sharp", "sharpe")),
        (("-o", "score.py:nothing"), 2, ("no function nothing",)),
        ((*SPACE, "-o", "score.py:undefined"), 5, ("None of the first 3 settings", "nan")),
        ((*SPACE, "-o", "score.py:broken"), 5, ("score.py:33", "ZeroDivisionError")),
        (("--require", "trades above 3"), 2, ("trades above 3",)),
        (("--space", "fats=1:5"), 2, ("fats", "fast")),
        (("--space", "fast=1:5"), 2, ("fast", "range")),
        (("--space", "fast=5", "--space", "slow=50"), 2, ("nothing to search",)),
        (("--tune", "exits.stop_loss=1:2"), 2, ("exits.stop_loss",)),
        (("--sampler", "gird"), 2, ("gird", "grid")),
        (("--train-until", "20250101"), 2, ("not inside",)),
        (("--name", "../other"), 2, ("../other",)),
        (("--storage", "mysql://me:secret@host/x"), 2, ("me:***@host",)),
        (("--storage", "postgresql://me:secret@127.0.0.1:1/x"), 1, ("me:***@127.0.0.1",)),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence_and_leaves_no_study(
    abidance: Program, typed: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    done = abidance(*RUN, "-e", "3", "-j", "1", *typed)

    assert_refused(done, code, *words)
    assert "secret" not in done.err
    is_begun = "score.py:broken" in typed or "score.py:undefined" in typed
    assert is_begun or not (abidance.userdir / "studies").exists()


# --- several hosts


CLUSTER = """
import sys

import dask
from distributed import LocalCluster

if __name__ == "__main__":
    dask.config.set({"distributed.scheduler.allowed-failures": 0})  # nothing is tried again behind our back
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Start a scheduler and two workers, in a folder that holds none of the user's files."""
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def test_a_cluster_of_two_workers_finds_what_one_process_finds(abidance: Program, cluster: str) -> None:
    noted(abidance)
    body = "class Mine(BarStrategy):\n    x = Parameter(1, 1, 6)\n    def signals(self, bars):\n"
    body += "        return Signals((np.arange(len(bars)) // (5 * self.x) % 2).astype(float))\n"
    abidance.strategy(body)
    typed = (
        "optimize", "-s", "Mine", "-p", "BTC/USDT", "--timerange", "20240101-20240201", "--sampler", "grid", "--engine", "event",
        "-o", "score.py:together",
    )  # fmt: skip

    there = found(abidance, *typed, "--name", "there", "--cluster", cluster)
    workers = set((abidance.home / "log.txt").read_text().split())
    here = found(abidance, *typed, "--name", "here", "-j", "1")

    def scores(document: dict[str, Any]) -> list[tuple[Any, Any]]:
        return sorted((trial["parameters"]["x"], trial["scores"]) for trial in trials(document))

    assert len(trials(there, "complete")) == 6
    assert scores(there) == scores(here)
    assert len(workers) == 2


def test_a_worker_of_a_cluster_that_dies_costs_its_trial_alone_which_is_tried_again(
    abidance: Program, cluster: str
) -> None:
    noted(abidance)

    document = found(abidance, *RUN, *SPACE, "-o", "score.py:killed", "-e", "8", "--cluster", cluster)

    (lost,) = trials(document, "failed")
    assert lost["reason"] == "the workers of the cluster that evaluated it died"
    assert len(trials(document, "complete")) == 8
    assert lost["parameters"] in [trial["parameters"] for trial in trials(document, "complete")]


@pytest.mark.timeout(400)  # the first run of a version compiles its kernels
@pytest.mark.usefixtures("kernels_are_compiled")
@pytest.mark.parametrize("where", ["two processes", "cluster"])
def test_workers_with_compiled_code_find_what_the_event_engine_finds(
    abidance: Program, where: str, request: pytest.FixtureRequest
) -> None:
    workers = ("-j", "2") if where == "two processes" else ("--cluster", request.getfixturevalue("cluster"))
    grid = ("--space", "fast=5,20", "--space", "slow=30,60,90", "--sampler", "grid")

    compiled = found(abidance, *RUN[:-2], *grid, "--name", "compiled", *workers)
    event = found(abidance, *RUN, *grid, "--name", "event", "-j", "1")

    def scores(document: dict[str, Any]) -> dict[tuple[int, int], float]:
        found = [(trial["parameters"], trial["scores"]) for trial in trials(document, "complete")]
        return {(values["fast"], values["slow"]): score for values, (score,) in found}

    assert len(scores(event)) == 6
    assert scores(compiled) == pytest.approx(scores(event), rel=1e-6)
    assert compiled["fallbacks"] == {}
    # only a whole run tells it, and a trial here is none
    assert {trial["metrics"]["win_rate"] for trial in trials(compiled, "complete")} == {None}
    assert None not in {trial["metrics"]["win_rate"] for trial in trials(event, "complete")}


def noted(program: Program) -> None:
    """Let all workers, wherever their files are laid out, note in one place that they ran."""
    log = program.home / "log.txt"
    program.file("score.py", SCORE.replace('Path(__file__).with_name("log.txt")', f"Path({str(log)!r})"))


@pytest.fixture
def postgres() -> Iterator[str]:
    """Start a PostgreSQL server of our own and return a URL of it."""
    with server() as url:
        yield url


def test_a_study_in_postgres_is_shared_and_goes_on(abidance: Program, postgres: str) -> None:
    typed = (
        *RUN,
        *SPACE,
        "-o",
        "score.py:killed",
        "-j",
        "1",
        "--storage",
        postgres,
        "--require",
        "trades>=1",
    )

    killed = abidance(*typed, "-e", "6")
    document = found(abidance, *typed, "-e", "6", "--html", "page.html")

    assert killed.code == -9
    assert [trial["state"] for trial in trials(document)].count("complete") == 6
    assert [trial["reason"] for trial in trials(document, "failed")] == ["its process died"]
    assert "secret" not in (abidance.home / "page.html").read_text("utf-8")
    assert not (abidance.userdir / "studies").exists()
