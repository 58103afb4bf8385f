"""Imports run one way, and the contracts that say so bite."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGE, ROOT, sources

ROOMS = (
    "alerts", "api", "automator", "backtest", "cli", "engine", "execution", "indicators", "journal", "kernel",
    "learning", "market", "model", "portfolio", "research", "risk", "run", "security", "strategy", "testing",
    "venues",
)  # fmt: skip


def lint_imports(folder: Path) -> tuple[bool, str]:
    """Check the package in `folder` against the contracts there; return whether it passed and what was said."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache", "--no-logo", "--config", folder / "pyproject.toml"],
        cwd=folder,
        env={"COLUMNS": "300", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the package once, and give every room which does not exist yet an empty front."""
    folder = tmp_path_factory.mktemp("layers")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(PACKAGE, folder / "abidance", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ROOMS:
        front = folder / "abidance" / room / "__init__.py"
        front.parent.mkdir(exist_ok=True)
        front.touch()
    return folder


def verdict_with(copied: Path, planted: dict[str, str]) -> tuple[bool, str]:
    """Plant files in the copy, check it, and take them out again."""
    paths = {copied / "abidance" / name: text for name, text in planted.items()}
    for path, text in paths.items():
        path.parent.mkdir(exist_ok=True)
        assert not path.exists(), f"{path.name} is taken: name the planted file differently"
        path.write_text(text, "utf-8")
    try:
        return lint_imports(copied)
    finally:
        for path in paths:
            path.unlink()


def test_the_package_keeps_its_contracts() -> None:
    kept, report = lint_imports(ROOT)

    assert kept, report


def test_every_import_that_the_design_allows_is_kept(copied: Path) -> None:
    downward = {
        "cli": "api run backtest engine venues risk market kernel model",
        "run": "backtest engine venues security strategy journal market kernel",
        "backtest": "engine venues strategy portfolio indicators",
        "engine": "strategy risk execution portfolio market kernel model",
        "venues": "market kernel model",
        "strategy": "indicators market model",
        "testing": "run engine venues model",
        "market": "kernel model",
        "kernel": "model",
    }
    planted = {f"{room}/planted.py": '"""Planted."""\n' for room in ROOMS}
    for room, targets in downward.items():
        planted[f"{room}/planted.py"] = "".join(f"import abidance.{t}.planted\n" for t in targets.split())

    kept, report = verdict_with(copied, planted)

    assert kept, report


VIOLATIONS = {
    "a strategy that talks to a venue": (
        {
            "strategy/planted.py": "import abidance.venues.planted\n",
            "venues/planted.py": "",
        },
        "abidance.strategy.planted -> abidance.venues.planted",
    ),
    "risk that looks into the portfolio": (
        {
            "risk/planted.py": "from abidance.portfolio import planted\n",
            "portfolio/planted.py": "",
        },
        "abidance.risk.planted -> abidance.portfolio.planted",
    ),
    "execution that asks risk": (
        {
            "execution/planted.py": "from abidance.risk.planted import x\n",
            "risk/planted.py": "x = 1\n",
        },
        "abidance.execution.planted -> abidance.risk.planted",
    ),
    "a model that knows a port": (
        {
            "model/planted.py": "import abidance.kernel.planted\n",
            "kernel/planted.py": "",
        },
        "abidance.model.planted -> abidance.kernel.planted",
    ),
    "an engine that meets a venue": (
        {
            "engine/planted.py": "import abidance.venues.planted\n",
            "venues/planted.py": "",
        },
        "abidance.engine.planted -> abidance.venues.planted",
    ),
    "a market that reads the indicators": (
        {
            "market/planted.py": "import abidance.indicators.planted\n",
            "indicators/planted.py": "",
        },
        "abidance.market.planted -> abidance.indicators.planted",
    ),
    "a node that imports the command line": (
        {
            "run/planted.py": "import abidance.cli.planted\n",
            "cli/planted.py": "",
        },
        "abidance.run.planted -> abidance.cli.planted",
    ),
    "shipped code that imports the test kit": (
        {
            "run/planted.py": "import abidance.testing.planted\n",
            "testing/planted.py": "",
        },
        "abidance.run.planted -> abidance.testing.planted",
    ),
    "a room nobody placed": (
        {
            "toolbox/__init__.py": "",
        },
        "- abidance.toolbox",
    ),
    "a clock in a strategy": (
        {
            "strategy/planted.py": "import time\n",
        },
        "abidance.strategy.planted -> time",
    ),
    "chance in a risk limit": (
        {
            "risk/planted.py": "from random import random\n",
        },
        "abidance.risk.planted -> random",
    ),
    "an asynchronous engine": (
        {
            "engine/planted.py": "def start():\n    import asyncio\n",
        },
        "abidance.engine.planted -> asyncio",
    ),
    "threads in execution": (
        {
            "execution/planted.py": "import threading\n",
        },
        "abidance.execution.planted -> threading",
    ),
    "a clock reached through another room": (
        {
            "portfolio/planted.py": "import abidance.kernel.planted\n",
            "kernel/planted.py": "import time\n",
        },
        "abidance.portfolio.planted -> abidance.kernel.planted",
    ),
    "a database in an indicator": (
        {
            "indicators/planted.py": "import duckdb\n",
        },
        "abidance.indicators.planted -> duckdb",
    ),
    "ccxt in the market room": (
        {
            "market/planted.py": "import ccxt.pro\n",
        },
        "abidance.market.planted -> ccxt",
    ),
    "ccxt in a composition root": (
        {
            "run/planted.py": "import ccxt\n",
        },
        "abidance.run.planted -> ccxt",
    ),
    "a ring of two modules": (
        {
            "journal/planted.py": "import abidance.journal.planted_too\n",
            "journal/planted_too.py": "import abidance.journal.planted\n",
        },
        "No cycles are allowed in abidance.journal",
    ),
    "a ring of two packages inside a room": (
        {
            "venues/planted_a/__init__.py": "",
            "venues/planted_b/__init__.py": "",
            "venues/planted_a/x.py": "import abidance.venues.planted_b.x\n",
            "venues/planted_a/y.py": "",
            "venues/planted_b/x.py": "",
            "venues/planted_b/y.py": "import abidance.venues.planted_a.y\n",
        },
        "No cycles are allowed in abidance.venues",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_planted_violation_is_caught(name: str, copied: Path) -> None:
    planted, expected = VIOLATIONS[name]

    kept, report = verdict_with(copied, planted)

    assert not kept
    assert expected in report


def test_ccxt_is_allowed_in_venues(copied: Path) -> None:
    _, report = verdict_with(copied, {"venues/planted.py": "import ccxt\n"})

    assert "Only venues import ccxt KEPT" in report


def imports(tree: ast.Module) -> set[str]:
    """Return the top-level names of what a module imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
    return {name.partition(".")[0] for name in names}


def forbidden_by_room() -> dict[str, set[str]]:
    """Return what the contracts forbid to each room."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    forbidden: dict[str, set[str]] = {}
    for contract in rules["contracts"]:
        for module in contract.get("source_modules", ()):
            forbidden.setdefault(module.split(".")[1], set()).update(contract["forbidden_modules"])
    return forbidden


def test_a_rooms_front_imports_nothing_that_its_modules_may_not() -> None:
    """Some contracts name the modules inside a room, and not the room's own `__init__.py`."""
    forbidden = forbidden_by_room()

    offenders = {
        source.place: found
        for source in sources()
        if source.path.name == "__init__.py"
        if (found := imports(source.tree) & forbidden.get(source.room, set()))
    }

    assert forbidden["risk"] >= {"asyncio", "ccxt", "random", "time"}
    assert offenders == {}


def test_an_import_in_a_front_is_seen() -> None:
    front = "import abidance.model.money\nfrom time import time\ndef f():\n    import ccxt.pro\n"

    assert imports(ast.parse(front)) == {"abidance", "time", "ccxt"}


def test_every_room_is_placed_in_the_contracts() -> None:
    assert set(ROOMS) - {"testing", "venues"} <= forbidden_by_room().keys()
