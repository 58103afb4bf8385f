"""What counts as another version of a strategy: every file of the user's that it is built from, and no other."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abidance.run.plugins import find_strategy
from abidance.run.version import version_of, version_of_file

FILES = {
    "mine.py": "import maths.waves\nfrom near import Near\nfrom tools import pick\nclass Mine(Near):\n    pass\n",
    "near.py": "from abidance.strategy.library import EmaCross\nclass Near(EmaCross):\n    pass\n",
    "tools.py": "def pick():\n    import deep\n    return deep\n",
    "deep.py": "DEPTH = 1\n",
    "maths/__init__.py": "",
    "maths/waves.py": "from . import sines\nfrom .cosines import cos\n",
    "maths/sines.py": "SIN = 1\n",
    "maths/cosines.py": "cos = 1\n",
    "other.py": "import mine\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    forget()  # another test may have had modules of these names
    yield laid_out(tmp_path / "strategies")
    forget()


def forget() -> None:
    own = {Path(name).parts[0].removesuffix(".py") for name in FILES}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]


def laid_out(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def version(folder: Path) -> bytes:
    return version_of(find_strategy(f"{folder / 'mine.py'}:Mine"))


@pytest.mark.parametrize("name", [name for name in FILES if name != "other.py"])
def test_a_change_in_any_file_that_it_is_built_from_is_another_version(folder: Path, name: str) -> None:
    cls = find_strategy(f"{folder / 'mine.py'}:Mine")
    before = version_of(cls)

    with (folder / name).open("a") as file:
        file.write("# another thought\n")

    assert version_of(cls) != before


def test_a_file_that_it_does_not_need_and_where_it_lies_are_no_part_of_it(
    folder: Path, tmp_path: Path
) -> None:
    before = version(folder)

    (folder / "other.py").write_text("# gone\n")

    assert version(folder) == before
    assert version(laid_out(tmp_path / "elsewhere")) == before


def test_a_lone_file_is_its_own_version_and_modules_that_import_each_other_end(tmp_path: Path) -> None:
    alone, one, two = tmp_path / "alone.py", tmp_path / "one.py", tmp_path / "two.py"
    alone.write_text("import os\nimport numpy as np\n")
    one.write_text("import two\n")
    two.write_text("import one\nsyntax error here")

    assert version_of_file(alone) == alone.read_bytes()
    assert version_of_file(one) == b"import two\n\n# two.py\n" + two.read_bytes()


def test_a_shipped_strategy_is_its_own_file() -> None:
    cls = find_strategy("EmaCross")

    assert version_of(cls) == Path(inspect.getfile(cls)).read_bytes()
