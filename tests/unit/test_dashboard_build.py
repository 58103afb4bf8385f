"""How the dashboard gets into a wheel and into `make demo`, with Node and without it."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NPM = """#!/bin/sh
case "$*" in *--prefix*) cd "$2"; esac
echo "$*" >> "{log}"
mkdir -p node_modules ../src/abidance/api/web
case "$*" in *"run"*) echo built > ../src/abidance/api/web/index.html; esac
"""
"""What a clone's npm does as far as a build goes: it notes that it was asked, and leaves a page."""


def clone(folder: Path, *, has_npm: bool) -> dict[str, str]:
    """Lay a clone out, without what it does not need here, and return the environment of whoever works in it."""
    tools = folder / "tools"
    for path in ("web/src/main.tsx", "web/package-lock.json", "web/openapi.json", "web/index.html"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}")
    (folder / "src" / "abidance" / "api").mkdir(parents=True)
    tools.mkdir()
    for name in ("sh", "make", "find", "touch", "mkdir", "env", "rm", "awk"):
        (tools / name).symlink_to(shutil.which(name) or name)
    if has_npm:
        (tools / "npm").write_text(NPM.format(log=folder / "asked"))
        (tools / "npm").chmod(0o755)
    return {"PATH": str(tools), "HOME": str(folder)}


def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[str]]:
    """Make a wheel as far as our hook goes; return what it adds, and what it warns of."""
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = object  # type: ignore[attr-defined]
    for name in (
        "hatchling",
        "hatchling.builders",
        "hatchling.builders.hooks",
        "hatchling.builders.hooks.plugin",
    ):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))["Dashboard"]()
    warnings: list[str] = []
    hook.root, hook.app = str(folder), SimpleNamespace(display_warning=warnings.append)
    data: dict[str, Any] = {}
    hook.initialize("standard", data)
    return data, warnings


def test_a_wheel_holds_the_dashboard_that_its_hook_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = clone(tmp_path, has_npm=True)
    monkeypatch.setenv("PATH", f"{environ['PATH']}{os.pathsep}{os.defpath}")

    data, warnings = made(tmp_path, monkeypatch)

    assert data == {"artifacts": ["src/abidance/api/web/"]}
    assert warnings == []
    assert (tmp_path / "asked").read_text().splitlines() == ["ci --no-audit --no-fund", "run build"]
    made(tmp_path, monkeypatch)
    assert len((tmp_path / "asked").read_text().splitlines()) == 2  # what is built is not built again


def test_a_wheel_without_node_says_that_it_has_no_dashboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", clone(tmp_path, has_npm=False)["PATH"])

    data, (warning,) = made(tmp_path, monkeypatch)

    assert data == {}
    assert "no dashboard" in warning


@pytest.mark.parametrize("has_npm", [True, False])
def test_make_demo_builds_the_dashboard_or_says_what_it_takes(tmp_path: Path, *, has_npm: bool) -> None:
    environ = clone(tmp_path, has_npm=has_npm)
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "abidance"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "the demo: $*"\n')
    program.chmod(0o755)
    for stamp in ("pyproject.toml", "constraints.txt", ".venv/.created", ".venv/.runtime"):
        (tmp_path / stamp).touch()

    done = subprocess.run(
        ["make", "demo", "ARGS=--fast"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the demo: demo --fast"
    assert ("install Node 20 or newer to see it" in done.stdout) is not has_npm
    assert (tmp_path / "src" / "abidance" / "api" / "web" / "index.html").is_file() is has_npm
