"""How the dashboard gets into a wheel and into `make demo`, with Node and without it."""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NPM = """#!/bin/sh
case "$*" in *--prefix*) cd "$2"; esac
echo "$*" >> "{log}"
mkdir -p node_modules ../src/abidance/api/web
case "$*" in *"run"*)
    echo built > ../src/abidance/api/web/index.html
    find src public *.json *.html -type f | xargs sha256sum > ../src/abidance/api/web/sources.sha256
esac
"""
"""What a clone's npm does as far as a build goes: it notes that it was asked, and leaves a page and what it is of."""
ASKED = ["ci --no-audit --no-fund", "run build"]


def clone(folder: Path, *, has_npm: bool) -> dict[str, str]:
    """Lay a clone out, without what it does not need here, and return the environment of whoever works in it."""
    tools = folder / "tools"
    for path in (
        "web/src/main.tsx",
        "web/package-lock.json",
        "web/openapi.json",
        "web/index.html",
        "web/public/icon",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}")
    (folder / "src" / "abidance" / "api").mkdir(parents=True)
    tools.mkdir()
    for name in ("sh", "make", "find", "touch", "mkdir", "env", "rm", "awk", "xargs", "sha256sum"):
        (tools / name).symlink_to(shutil.which(name) or name)
    if has_npm:
        (tools / "npm").write_text(NPM.format(log=folder / "asked"))
        (tools / "npm").chmod(0o755)
    return {"PATH": str(tools), "HOME": str(folder)}


def asked(folder: Path) -> list[str]:
    """Return what a clone's npm was asked for."""
    return (folder / "asked").read_text().splitlines()


def hooked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what `hatch_build.py` defines, without hatchling."""
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
    return runpy.run_path(str(ROOT / "hatch_build.py"))


def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[str]]:
    """Make a wheel as far as our hook goes; return what it adds, and what it warns of."""
    hook = hooked(monkeypatch)["Dashboard"]()
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
    assert asked(tmp_path) == ASKED


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "web/src/main.tsx").write_text("other"),
        lambda folder: (folder / "web/src/more.ts").write_text("new"),
        lambda folder: (folder / "web/public/icon").unlink(),
        lambda folder: (folder / "web/openapi.json").write_text("[]"),
        lambda folder: (folder / "src/abidance/api/web/sources.sha256").unlink(),
    ],
)
def test_a_wheel_never_holds_a_dashboard_of_other_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    environ = clone(tmp_path, has_npm=True)
    monkeypatch.setenv("PATH", f"{environ['PATH']}{os.pathsep}{os.defpath}")
    made(tmp_path, monkeypatch)

    made(tmp_path, monkeypatch)
    again = asked(tmp_path)
    change(tmp_path)
    made(tmp_path, monkeypatch)

    assert again == ASKED  # what is built is not built again
    assert asked(tmp_path) == [*ASKED, *ASKED]


def test_an_old_dashboard_is_refused_where_it_cannot_be_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = clone(tmp_path, has_npm=True)
    monkeypatch.setenv("PATH", f"{environ['PATH']}{os.pathsep}{os.defpath}")
    made(tmp_path, monkeypatch)
    (tmp_path / "tools" / "npm").unlink()
    monkeypatch.setenv("PATH", environ["PATH"])

    same, _ = made(tmp_path, monkeypatch)
    (tmp_path / "web" / "src" / "main.tsx").write_text("other")

    assert same == {"artifacts": ["src/abidance/api/web/"]}
    with pytest.raises(RuntimeError, match=r"other sources.*Install Node"):
        made(tmp_path, monkeypatch)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not here")
def test_a_build_notes_the_sources_that_a_wheel_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone(tmp_path, has_npm=False)
    built = tmp_path / "src" / "abidance" / "api" / "web"
    built.mkdir()
    (built / "index.html").write_text("<p>" * 1_000)
    (tmp_path / "web" / "src" / "client").mkdir()
    (tmp_path / "web" / "src" / "client" / "schema.d.ts").write_text("made")
    shutil.copy(ROOT / "web" / "pack.mjs", tmp_path / "web")

    subprocess.run([shutil.which("node") or "", "web/pack.mjs"], cwd=tmp_path, check=True)

    hook = hooked(monkeypatch)
    assert hook["noted"](built) == hook["sources"](tmp_path / "web")
    assert set(hook["sources"](tmp_path / "web")) == {
        "index.html", "openapi.json", "pack.mjs", "package-lock.json", "public/icon", "src/main.tsx",
    }  # fmt: skip
    assert (built / "index.html.br").is_file()


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
