"""The side-by-side benchmarks: no ratio is told before the engines are shown to have done the same work."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.benchmark import FOLDER, load_benchmark

BARS = 1_000


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the benchmarks' program, which writes into a folder of ours."""
    monkeypatch.syspath_prepend(str(FOLDER))
    run = load_benchmark("run")
    monkeypatch.setattr(run, "SCRIPTS", tmp_path)
    monkeypatch.setattr(run, "REPOSITORY", tmp_path)
    return run


def race(
    bench: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    outcomes: Mapping[str, Mapping[str, float]],
    *,
    items: int = BARS,
    key: str = "single",
    code: str = "abc1234",
) -> int:
    """Let engines end with outcomes, the first in one second and the next in two; return the exit code."""
    from contest import Contestant, Workload  # type: ignore[import-not-found]
    from measure import Process, Sample  # type: ignore[import-not-found]

    def sample(command: list[str], *_: object) -> Any:
        name = command[-1]
        seconds = 1.0 + list(outcomes).index(name)
        result = {
            "version": "1", "items": items, "items_per_s": items / seconds, "steady_s": seconds,
            "phases": {}, "also": {}, "outcome": dict(outcomes[name]),
        }  # fmt: skip
        return Sample(Process(seconds, seconds, 100.0, 0), result)

    engines = tuple(Contestant(name, name, Path(sys.executable), (name,)) for name in outcomes)
    workload = Workload(
        key, "a race", "bars", BARS, engines, (), exact=("closed",), near={"pnl": 1e-3}, costs=("steady",)
    )
    monkeypatch.setattr(bench, "WORKLOADS", {key: lambda _: workload})
    monkeypatch.setattr(bench, "sample", sample)
    monkeypatch.setattr(bench, "code_version", lambda: code)
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", key, "--offline", "--rounds", "2", "--save"])
    return int(bench.main())


def saved(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "results").glob("*.json")
    return json.loads(path.read_text("utf-8"))  # type: ignore[no-any-return]


def test_equal_work_gets_a_ratio_of_its_seconds(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"closed": 12, "pnl": 100.0}

    code = race(bench, monkeypatch, {"abidance": same, "peer": same | {"pnl": 100.01}})

    out = capsys.readouterr().out
    assert code == 0
    assert "closed, pnl (to 0.001) agree" in out
    assert "2.00x [2.00-2.00]" in out
    assert saved(tmp_path)["workloads"]["single"]["ratios"] == {"peer": {"steady": [2.0, 2.0]}}


@pytest.mark.parametrize(
    ("theirs", "items", "told"),
    [
        ({"closed": 13, "pnl": 100.0}, BARS, "closed differ: abidance 12, peer 13"),
        ({"closed": 12, "pnl": 101.0}, BARS, "pnl differ: abidance 100.0, peer 101.0"),
        ({"pnl": 100.0}, BARS, "peer does not tell closed"),
        ({"closed": 12, "pnl": 100.0}, BARS - 1, "peer took 999 bars, not 1000"),
    ],
)
def test_other_work_gets_no_ratio_and_fails(
    bench: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    theirs: dict[str, float],
    items: int,
    told: str,
) -> None:
    outcomes = {"abidance": {"closed": 12, "pnl": 100.0}, "peer": theirs}

    code = race(bench, monkeypatch, outcomes, items=items)

    out = capsys.readouterr().out
    assert code == 1
    assert told in out
    assert "x [" not in out
    assert saved(tmp_path)["workloads"]["single"]["ratios"] == {}


def test_each_workload_keeps_the_commit_that_it_was_measured_at(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone = {"abidance": {"closed": 12, "pnl": 100.0}}

    race(bench, monkeypatch, alone, key="single", code="first")
    race(bench, monkeypatch, alone, key="sweep", code="second")
    race(bench, monkeypatch, alone, key="single", code="third")

    codes = {key: each["code"] for key, each in saved(tmp_path)["workloads"].items()}
    (table,) = (tmp_path / "results").glob("*.md")
    assert codes == {"single": "third", "sweep": "second"}
    assert "single at third: a race." in table.read_text("utf-8")
