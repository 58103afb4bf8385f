"""Which bot is meant where nobody names one."""

from pathlib import Path

import pytest

from abidance.model.errors import UsageError
from abidance.run.folders import RUNS, folder_of, only_bot


def test_the_only_bot_is_meant_whatever_was_put_aside_or_lies_beside_it(tmp_path: Path) -> None:
    for name in ("mine", "mine.20260102-030405", "mine.20260102-030405-2", ".hidden"):
        (tmp_path / RUNS / name).mkdir(parents=True)

    assert only_bot(tmp_path) == "mine"


@pytest.mark.parametrize(("names", "told"), [((), "There is no bot"), (("a", "b"), "several bots: a, b")])
def test_none_or_several_bots_are_told(tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    for name in names:
        folder_of(tmp_path, name).mkdir(parents=True)

    with pytest.raises(UsageError, match=told):
        only_bot(tmp_path)
