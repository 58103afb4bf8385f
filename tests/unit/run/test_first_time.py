"""What a search says before it compiles; nothing is compiled here."""

from pathlib import Path

import pytest

from abidance.backtest import native
from abidance.run.recipe import first_time
from tests.unit.run.test_scored_searches import recipe


@pytest.mark.parametrize("objective", ["sharpe", "profit_factor"])
def test_what_scores_a_search_says_before_it_compiles_whatever_the_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    monkeypatch.setattr(native, "is_first", lambda **_: True)
    monkeypatch.setattr(type(native.run_lane), "is_kept", False)

    assert first_time(recipe(tmp_path, objectives=(objective,))).startswith("Compiling")
