"""What CI does: every workflow can be read, calls what the Makefile has, and is bounded in time."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CI, NIGHTLY = ".github/workflows/ci.yml", ".github/workflows/nightly.yml"
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def jobs(file: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / file).read_text())["jobs"]
    return found


def steps(file: str, command: str) -> list[dict[str, Any]]:
    """Return the steps of all jobs that run a command."""
    return [
        step
        for job in jobs(file).values()
        for step in job["steps"]
        if str(step.get("run", "")).startswith(command)
    ]


@pytest.mark.parametrize(
    "file", [path.relative_to(ROOT).as_posix() for path in (ROOT / ".github/workflows").iterdir()]
)
def test_every_job_ends_by_itself_and_runs_what_the_makefile_has(file: str) -> None:
    for name, job in jobs(file).items():
        assert 0 < job["timeout-minutes"] <= 150, name
        assert "actions/checkout" in job["steps"][0]["uses"], name
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), name
            if "run" in step:
                made = re.fullmatch(r"(sudo )?make ([a-z-]+)( [A-Z]+=\d+)*", step["run"])
                assert made is not None, step["run"]
                assert made[2] in TARGETS, name


def test_a_thousand_worlds_must_be_played_within_ten_minutes() -> None:
    (step,) = steps(CI, "make simulate-faults")

    assert step == {"run": "make simulate-faults SEEDS=1000", "timeout-minutes": 10}
    job = next(each for each in jobs(CI).values() if step in each["steps"])
    assert {"run": "make install"} in job["steps"][
        : job["steps"].index(step)
    ]  # its time is not that of the worlds
    assert "\nstep timeout 600 make simulate-faults SEEDS=1000 " in (ROOT / ".ci/run").read_text()


def test_what_is_measured_and_what_takes_long_has_its_jobs() -> None:
    kills = steps(CI, "make kill-live")

    assert len(steps(CI, "make coverage")) == 1
    assert [each["run"] for each in kills] == ["make kill-live KILLS=30"]
    assert steps(NIGHTLY, "make simulate-faults") == [{"run": "make simulate-faults SEEDS=10000"}]
    assert steps(NIGHTLY, "make kill-live") == [{"run": "make kill-live KILLS=200"}]
