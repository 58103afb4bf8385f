import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from abidance.cli.config import new_config, show_config
from abidance.model.errors import ConfigError, UsageError
from abidance.run.config import load, schema, starter


@pytest.fixture(autouse=True)
def _no_settings_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABIDANCE_HOME", raising=False)


def run(*arguments: str | Path) -> str:
    app = typer.Typer()
    app.command("new-config")(new_config)
    app.command("show-config")(show_config)
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.output


def test_a_new_configuration_is_written_and_loads_back(tmp_path: Path) -> None:
    said = run("new-config", "--userdir", tmp_path / "home")

    path = tmp_path / "home" / "config.toml"
    assert str(path) in said
    assert load([path], {}, {}) == starter()
    assert list(path.parent.iterdir()) == [path]


def test_the_user_directory_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABIDANCE_HOME", str(tmp_path))

    run("new-config")

    assert (tmp_path / "config.toml").exists()


def test_a_configuration_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("mine")

    with pytest.raises(UsageError, match="--force"):
        run("new-config", "--userdir", tmp_path)
    kept = path.read_text()
    run("new-config", "--userdir", tmp_path, "--force")

    assert kept == "mine"
    assert load([path], {}, {}) == starter()


def test_every_setting_is_shown_with_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.toml"
    path.write_text('instruments = ["A/B@C"]\n[[strategies]]\nstrategy = "EmaCross"\n')
    monkeypatch.setenv("ABIDANCE__RISK__LIMITS__MAX_EXPOSURE", "0.3")

    lines = run("show-config", "-c", path).splitlines()

    assert f'instruments = ["A/B@C"]  # {path}, line 1' in lines
    assert f'strategies[0].strategy = "EmaCross"  # {path}, line 3' in lines
    assert 'strategies[0].name = "EmaCross"  # derived' in lines
    assert 'strategies[0].instruments = ["A/B@C"]  # derived' in lines
    assert "strategies[0].allocation = 1.0  # default" in lines
    assert "risk.limits.max_positions = 10  # default" in lines
    assert (
        "risk.limits.max_exposure = 0.3  # environment variable ABIDANCE__RISK__LIMITS__MAX_EXPOSURE" in lines
    )


def test_settings_are_shown_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('timeframe = "4h"\n')

    found = json.loads(run("show-config", "-c", path, "--json"))

    assert found["timeframe"] == {"value": "4h", "source": f"{path}, line 1"}
    assert found["detail_timeframe"] == {"value": None, "source": "default"}


def test_what_is_named_like_a_secret_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[[strategies]]\nstrategy = "A"\nparameters = { api_key = "c4n4ry", fast = 3 }\n')

    plain, as_json = run("show-config", "-c", path), run("show-config", "-c", path, "--json")

    assert "c4n4ry" not in plain + as_json
    assert 'strategies[0].parameters.api_key = "[hidden]"' in plain
    assert "strategies[0].parameters.fast = 3" in plain


def test_the_schema_is_printed_as_json() -> None:
    assert json.loads(run("show-config", "--schema")) == schema()


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("nome = 1\n")

    with pytest.raises(ConfigError, match="Did you mean name"):
        run("show-config", "-c", path)
