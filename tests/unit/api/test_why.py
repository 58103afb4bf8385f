"""Why a backtest's fills came to be: told by its own record, as of a bot on paper that saw the same market."""

import asyncio
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api import archive, views
from abidance.api.house import House
from abidance.api.workshop import BACKTESTS
from abidance.engine.config import StrategyConfig
from abidance.journal.store import read
from abidance.market.store import BarStore, Catalog
from abidance.portfolio.ledger import fill_ref
from abidance.run.backtest import backtest
from abidance.run.bot import JOURNAL
from abidance.run.config import RunConfig, load
from abidance.run.paper import Paper
from abidance.run.replica import Replica
from tests.parity.test_trades import Tapes
from tests.unit.api.conftest import logged_in
from tests.unit.api.test_why_each import lacking
from tests.unit.api.test_work import CONFIG, worked
from tests.unit.run.test_tapes import ID, config, once, tape

ONE = RunConfig(
    instruments=("BTC/USDT@BINANCE",),
    timerange="20250301-20250401",
    strategies=(StrategyConfig(strategy="EmaCross"),),
)
PAIRS = ("BTC/USDT@BINANCE", "ETH/USDT@BINANCE")
TWO_LENGTHS = RunConfig(
    instruments=PAIRS,
    timerange="20240101-20240701",
    strategies=(
        StrategyConfig(strategy="EmaCross", name="slow", timeframe="1d", allocation=0.5),
        StrategyConfig(strategy="EmaCross", name="quick", timeframe="1h", allocation=0.5),
    ),
)
DEMO = load(
    [Path(str(files("abidance").joinpath("data", "demo.toml")))], {"timerange": "20250501-20250521"}, {}
)


def replica_of(journal: Path) -> Replica:
    found = read(journal)
    replica = Replica(found.header)
    replica.take(found.records)
    return replica


def told(replica: Replica) -> Iterator[Any]:
    """Yield why each fill came to be, its order called by its number and without places in the journal."""
    names = {order.id: f"order {number}" for number, order in enumerate(replica.sent)}
    for fill in replica.fills:
        text = views.why_fill(replica, fill_ref(fill)).model_dump_json()
        for id, name in names.items():
            text = text.replace(id, name)
        yield json.loads(re.sub(r'"seq":\d+', '"seq":0', text))


def purposes_of(replica: Replica) -> set[str]:
    return {each.purpose.value for each in replica.fills}


def on_trades(folder: Path) -> tuple[RunConfig, Tapes]:
    """Return a run in which trades decide what fills: one position that its stop ends between two bars."""
    return config(once(folder)), Tapes({ID: tape(*[100.0] * 21, 94.9, 105.1, *[100.0] * 40)})


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("kernels_are_compiled")
@pytest.mark.parametrize("run", [ONE, TWO_LENGTHS, DEMO, None], ids=["one", "two-lengths", "demo", "trades"])
def test_a_backtest_tells_why_as_a_bot_on_paper_does_that_saw_the_same_market(
    tmp_path: Path, run: RunConfig | None
) -> None:
    stored: tuple[RunConfig, Any] = (
        (run, Catalog(BarStore(tmp_path / "data"))) if run else on_trades(tmp_path)
    )
    journal = tmp_path / "tested" / JOURNAL
    with Paper(*stored, None, tmp_path / "bot") as paper:
        paper.run(0, lambda: False, lambda _: None)

    result = backtest(*stored, journal=journal)

    bot, tested = replica_of(tmp_path / "bot" / JOURNAL), replica_of(journal)
    whole = list(told(bot))
    assert list(told(tested)) == whole
    assert [fill_ref(each) for each in tested.fills] == [fill_ref(each) for each in result.fills]
    assert len(whole) > 1
    assert [lacking(each) for each in whole] == [[] for _ in whole]
    assert all(each["seen"] for each in whole)  # in whose step it filled
    assert {each["fill"]["purpose"] for each in whole if each["entry"]} == purposes_of(tested) - {"entry"}
    assert any(each["signal"] and each["sizing"] and each["trigger"]["data"]["bars"] for each in whole)
    assert tested.seq < bot.seq  # what explains nothing is left out


def test_what_a_backtest_keeps_for_why_changes_nothing_of_its_result(tmp_path: Path) -> None:
    source = Catalog(BarStore(tmp_path / "data"))

    bare, kept = backtest(ONE, source), backtest(ONE, source, journal=tmp_path / JOURNAL)

    assert kept.digest == bare.digest


def test_each_fill_of_a_result_is_explained_by_its_reference(nobody: TestClient, house: House) -> None:
    house.bench, _ = worked(house, BACKTESTS, {})
    viewer = logged_in(nobody, house, "viewer")
    fills = viewer.get("/api/v1/backtests/one/result").json()["fills"]

    whys = [viewer.get("/api/v1/backtests/one/why", params={"ref": each["ref"]}).json() for each in fills]

    assert len(whys) > 3
    for each, fill in zip(whys, fills, strict=True):
        assert (each["fill"]["ref"], each["fill"]["side"]) == (fill["ref"], fill["side"])
        assert each["trigger"]["kind"] == "bars"
        assert each["verdict"]["approved"]
        assert {step["kind"] for step in each["steps"]} >= {"submit", "filled"}
        assert len(each["ledger"]) >= 3


def test_a_result_without_a_record_says_so_and_how_to_get_one(nobody: TestClient, house: House) -> None:
    house.bench, _ = worked(house, BACKTESTS, {})
    (house.userdir / "backtests" / "one" / JOURNAL).unlink()
    viewer = logged_in(nobody, house, "viewer")

    answer = viewer.get("/api/v1/backtests/one/why", params={"ref": "BTC/USDT@BINANCE#1"})

    assert (answer.status_code, answer.json()["code"]) == (404, "no_record")
    assert "Run it again" in answer.json()["remedy"]


def test_no_fill_and_no_backtest_are_not_found(nobody: TestClient, house: House) -> None:
    house.bench, _ = worked(house, BACKTESTS, {})
    viewer = logged_in(nobody, house, "viewer")

    answers = [viewer.get(f"/api/v1/backtests/{id}/why", params={"ref": "x"}) for id in ("one", "none")]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(404, "not_found")] * 2


def test_few_records_stay_open_however_many_are_asked_for(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "KEPT", 2)
    source, folders = Catalog(BarStore(house.userdir / "data")), [house.userdir / f"{n}" for n in range(4)]
    for folder in folders:
        backtest(load([], CONFIG, {}).ready(), source, journal=folder / JOURNAL)
    found = house.archive

    async def ask() -> list[int]:
        return [len((await found.replica(folder)).fills) for folder in (*folders, folders[0])]

    counts = asyncio.run(ask())

    assert len(set(counts)) == 1
    assert counts[0] > 0
    assert list(found._open) == [folders[3], folders[0]]
