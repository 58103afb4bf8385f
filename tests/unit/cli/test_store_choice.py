"""Where the commands look for market data: a flag, the environment, a configuration, the user's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli import (
    backtest,
    check,
    config,
    data,
    download,
    instruments,
    optimize,
    sentiment,
    serve,
    simulate,
    trade,
    verdict,
)
from abidance.cli.options import catalog_of
from abidance.market.bars import Bars
from abidance.market.readings import FEAR_GREED
from abidance.market.reference import resolve
from abidance.market.store import BarStore
from abidance.market.store.moods import MoodStore
from abidance.market.terms import Status, Terms, TermsStore
from abidance.run.sentiment import RealWeb
from tests.unit.market.series import BTC

HOUR = 3_600_000_000_000
START = 1_700_006_400_000_000_000

app = typer.Typer()
COMMANDS = (
    backtest.backtest, check.check_strategy, data.check_data, data.import_data, data.list_data, download.compact,
    download.download_data, download.sql, instruments.list_instruments, instruments.refresh_instruments,
    instruments.show_instrument, optimize.optimize, sentiment.download_sentiment, serve.serve, simulate.simulate,
    trade.trade, verdict.verdict,
)  # fmt: skip
for _command in (*COMMANDS, config.show_config):
    app.command(_command.__name__.replace("_", "-"))(_command)


@pytest.fixture(autouse=True)
def _nothing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ABIDANCE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ABIDANCE_STORE", raising=False)


def run(*arguments: object, **environ: str) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env=environ)


def stored(folder: Path, count: int) -> Path:
    ts = START + HOUR * np.arange(count)
    BarStore(folder).write(Bars(BTC, "1h", ts, np.full((5, count), 100.0)))
    return folder


def setting(folder: Path, store: object) -> Path:
    path = folder / "config.toml"
    path.write_text(f"store = {json.dumps(str(store))}\n", "utf-8")
    return path


def rows(*arguments: object, **environ: str) -> int:
    """Return how many bars `data sql` finds."""
    done = run("sql", "select count(*) as n from bars", *arguments, **environ)
    assert done.exit_code == 0, done.exception
    return int(next(word for word in done.output.split() if word.isdigit()))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_on_market_data_may_be_told_where_it_lies(command: object) -> None:
    assert {"store", "config"} <= command.__annotations__.keys()


def test_a_flag_wins_over_the_variable_and_that_over_the_configuration(tmp_path: Path) -> None:
    stored(tmp_path / "home" / "data", 1)
    flag, variable, written = (stored(tmp_path / name, n) for name, n in (("f", 2), ("v", 3), ("w", 4)))
    file = setting(tmp_path, written)

    assert rows("-c", file, "--store", flag, ABIDANCE_STORE=str(variable)) == 2
    assert rows("-c", file, ABIDANCE_STORE=str(variable)) == 3
    assert rows("-c", file) == 4
    assert rows(ABIDANCE__STORE=str(written)) == 4
    assert rows() == 1


def test_the_server_reads_the_store_that_its_users_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    monkeypatch.setattr("abidance.api.server.serve", lambda _userdir, store, *_, **__: found.append(store))
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home, other):
        folder.mkdir()
    bare = run("serve")
    setting(home, "/of/home")
    file = setting(other, "/of/a/file")

    done = [
        run("serve"),
        run("serve", "-c", file),
        run("serve", "-c", file, ABIDANCE_STORE="/of/the/variable"),
        run("serve", "-c", file, "--store", "/of/the/flag", ABIDANCE_STORE="/of/the/variable"),
    ]

    assert [each.exit_code for each in (bare, *done)] == [0] * 5, bare.output + "".join(
        e.output for e in done
    )
    assert [str(each) for each in found] == [
        str(home / "data"), "/of/home", "/of/a/file", "/of/the/variable", "/of/the/flag",
    ]  # fmt: skip


def test_a_run_reads_the_bars_of_the_store_in_its_configuration(tmp_path: Path) -> None:
    file = setting(tmp_path, stored(tmp_path / "market", 60))

    done = run(
        "backtest",
        "-c",
        file,
        "-s",
        "EmaCross",
        "-p",
        "BTC/USDT",
        "--no-count",
        "--json",
        tmp_path / "r.json",
    )

    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["equity"][0][0].startswith("2023-11-")
    assert "store" not in told["config"]


def test_bars_are_imported_into_the_store_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts,open,high,low,close,volume\n1700006400000,1,1,1,1,1\n")

    done = run(
        "import-data", tmp_path / "a.csv", "--instrument", BTC, "-i", "1h", "--store", tmp_path / "market"
    )

    assert done.exit_code == 0, done.output
    assert len(catalog_of(tmp_path / "home", str(tmp_path / "market")).read(BTC, "1h")) == 1
    assert not (tmp_path / "home" / "data").exists()


def test_readings_of_moods_go_to_the_store_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = b'{"data": [{"value": "30", "timestamp": "1700006400"}]}'
    monkeypatch.setattr(RealWeb, "get", lambda *_: page)
    file = setting(tmp_path, tmp_path / "written")

    run("download-sentiment", "--no-headlines", "-c", file)
    run("download-sentiment", "--no-headlines", "-c", file, "--store", tmp_path / "flag")

    for name in ("written", "flag"):
        assert MoodStore(tmp_path / name).readings(FEAR_GREED).value.tolist() == [30]
    assert not (tmp_path / "home" / "data").exists()


def test_rules_of_venues_are_those_beside_the_bars_and_stay_at_home_with_a_database(tmp_path: Path) -> None:
    for folder in (tmp_path / "home" / "data", tmp_path / "market"):
        terms = Terms(resolve(BTC).instrument, f"IN-{folder.name}", Status.TRADING)
        TermsStore(folder).replace_all("BINANCE", [terms], START)

    beside = run("show-instrument", BTC, "--store", tmp_path / "market")
    at_home = run("show-instrument", BTC, "--store", "postgresql://me@nowhere/market")

    assert "IN-market" in beside.output
    assert "IN-data" in at_home.output


def test_passwords_of_the_store_and_of_leases_are_not_shown(tmp_path: Path) -> None:
    file = setting(tmp_path, "postgresql://me:hunter22@there/market")
    file.write_text(f'lease = "postgresql://me:hunter22@there/leases"\n{file.read_text()}')

    shown, as_json = run("show-config", "-c", file), run("show-config", "-c", file, "--json")

    assert "there/market" in shown.output
    assert "there/leases" in shown.output
    assert "hunter22" not in shown.output + as_json.output
