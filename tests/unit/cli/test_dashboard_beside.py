"""The dashboard beside a bot: what is asked about it in a process that trades costs that process nothing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from abidance.api.place import LOCK, known, served_at
from abidance.cli.dashboard import SERVING
from abidance.cli.serve import GOOD, first_admin

ROOT = Path(__file__).parents[3]


def test_what_is_looked_for_is_what_the_extra_brings() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["api"]

    names = {re.split(r"[\[>=<~!]", each)[0].replace("-", "_") for each in extra}

    assert names == set(SERVING)


def test_terminal_and_page_say_in_the_same_words_how_long_a_setup_token_is_good() -> None:
    page = (ROOT / "web" / "src" / "features" / "Entrance.tsx").read_text()

    assert first_admin("secret").endswith(f"\n  secret\n{GOOD}")
    assert page.count(f'"{GOOD}"') == 1


def test_to_ask_whether_it_can_be_shown_loads_nothing_that_serves() -> None:
    program = (
        "import sys; from abidance.cli.dashboard import missing; from abidance.api.place import served_at;"
        "missing(); print(*{'fastapi', 'uvicorn', 'starlette', 'pydantic'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == ""


def test_a_server_is_found_while_it_runs_and_the_first_of_several(tmp_path: Path) -> None:
    none = served_at(tmp_path)

    with known(tmp_path, "http://127.0.0.1:8321"):
        first = served_at(tmp_path)
        with known(tmp_path, "http://127.0.0.1:9999"):
            of_two = served_at(tmp_path)
    left = served_at(tmp_path)
    with known(tmp_path, "http://127.0.0.1:9999"):
        next_one = served_at(tmp_path)

    assert (none, left) == ("", "")
    assert (first, of_two, next_one) == (
        "http://127.0.0.1:8321",
        "http://127.0.0.1:8321",
        "http://127.0.0.1:9999",
    )
    assert (tmp_path / LOCK).exists()
