from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from abidance.cli.sentiment import download_sentiment
from abidance.market.readings import FEAR_GREED
from abidance.market.store.moods import MoodStore
from abidance.run.sentiment import RealWeb


def test_readings_go_to_the_store_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(_web: RealWeb, _url: str, _query: dict[str, str]) -> bytes:
        return b'{"data": [{"value": "30", "timestamp": "1700006400"}]}'

    monkeypatch.setattr(RealWeb, "get", page)
    app = typer.Typer()
    app.command()(download_sentiment)

    done = CliRunner().invoke(
        app,
        ["--no-headlines", "--userdir", str(tmp_path / "home")],
        env={"ABIDANCE_STORE": str(tmp_path / "store")},
    )

    assert done.exit_code == 0
    assert MoodStore(tmp_path / "store").readings(FEAR_GREED).value.tolist() == [30]
    assert not (tmp_path / "home" / "data").exists()
