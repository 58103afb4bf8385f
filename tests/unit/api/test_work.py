"""Searches, verdicts and downloads: what is asked for, how it goes, what comes of it."""

import asyncio
import json
import shutil
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from abidance.api.app import create_app
from abidance.api.bench import Bench, Job
from abidance.api.fitting import loaded
from abidance.api.house import House
from abidance.api.workshop import SEARCHES, VERDICTS, Kind, Task, Tell, do
from abidance.market.bars import Bars
from abidance.market.findings import findings
from abidance.market.funding import Funding
from abidance.market.quality import inspect_bars
from abidance.market.store import BarStore, FundingStore, Hole, Place, Spans, open_tables
from abidance.market.store.tables import tape_schema
from abidance.run import recipe
from abidance.run.config import load
from tests.postgres import server
from tests.unit.api.conftest import CHANGE, ORIGIN, QUICK, RULES, logged_in
from tests.unit.market.series import a_series

CONFIG = {
    "instruments": ["BTC/USDT@BINANCE"],
    "timeframe": "1d",
    "timerange": "20240101-20250101",
    "strategies": [{"strategy": "EmaCross"}],
}
SEARCH = {
    "objectives": ["sharpe"], "requirements": [], "spaces": ["fast=2:4", "slow=6:8"], "sampler": "random",
    "patience": None, "seed": 3, "train_until": None, "epochs": 4,
}  # fmt: skip
VERDICT = {
    "backtest": "",
    "metric": "sharpe",
    "trials": 1,
    "seed": 1,
    "variants": 2,
    "permutations": 2,
    "noise": 1,
}


def worked(
    house: House, kind: Kind, asked: dict[str, Any]
) -> tuple[Bench, list[tuple[float, dict[str, Any]]]]:
    """Do a piece of work here, and return the bench of a server that starts after it."""
    task = Task("one", CONFIG, asked, house.userdir, house.userdir / kind.folder / "one", house.tables.where)
    task.place.mkdir(parents=True)
    told: list[tuple[float, dict[str, Any]]] = []
    metrics = kind.work(task, lambda share, live: told.append((share, live)))
    job = Job(
        "one", CONFIG, "EmaCross", "ada", 1, "done", 1.0, 2, metrics=metrics, asked=asked, live=told[-1][1]
    )
    (task.place / "request.json").write_text(json.dumps(asdict(job)))
    return Bench(house.userdir, kind), told


def test_a_search_tells_its_best_and_a_trial_is_applied_as_a_configuration(
    nobody: TestClient, house: House
) -> None:
    house.searches, told = worked(house, SEARCHES, SEARCH)
    operator = logged_in(nobody, house, "operator")

    shown = operator.get("/api/v1/searches/one").json()
    result = operator.get("/api/v1/searches/one/result").json()
    page = operator.get("/api/v1/searches/one/page")
    applied = operator.post("/api/v1/searches/one/apply", json={}, headers=CHANGE)
    named = operator.post("/api/v1/searches/one/apply", json={"trial": 10**6}, headers=CHANGE)

    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert shown["done"] >= 4
    assert shown["best"]["number"] == result["best"] == shown["improvements"][-1]["number"]
    assert set(shown["best"]["parameters"]) >= {"fast", "slow"}
    assert "<html" in page.text
    assert page.headers["content-security-policy"]
    assert applied.status_code == 200, applied.text
    best = next(each for each in result["trials"] if each["number"] == result["best"])
    config = load([house.userdir / "strategies" / "EmaCross.toml"], {}, {})
    found = config.strategies[0].parameters
    assert {name: found[name] for name in best["parameters"] if name in found} == best["parameters"]
    assert named.status_code == 409


def test_a_search_says_what_takes_long_before_its_first_trial_and_no_longer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "first_time", lambda _: "Compiling, once.")

    _, told = worked(house, SEARCHES, SEARCH)

    assert told[0] == (0.0, {"says": "Compiling, once."})
    assert {live["says"] for _, live in told[1:]} == {""}


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("kernels_are_compiled")
def test_a_verdict_tells_each_check_in_a_sentence(nobody: TestClient, house: House) -> None:
    house.verdicts, _ = worked(house, VERDICTS, VERDICT)
    viewer = logged_in(nobody, house, "viewer")

    shown = viewer.get("/api/v1/verdicts").json()["items"][0]
    result = viewer.get("/api/v1/verdicts/one/result").json()

    assert shown["mark"] == result["mark"] != ""
    assert shown["sentence"] == result["sentence"] != ""
    assert all(
        each["sentence"] and each["mark"] in ("pass", "warn", "fail", "skip") for each in result["checks"]
    )
    assert "<html" in viewer.get("/api/v1/verdicts/one/page").text


@pytest.mark.timeout(400)
def test_work_reads_market_data_where_the_server_does(tmp_path: Path) -> None:
    with server() as url:
        tables = open_tables(url)
        BarStore(tables).write(a_series(366, timeframe="1d"))
        house = House(tmp_path, tables, passwords=QUICK)
        job = house.bench.plan(loaded(CONFIG), "", "ada", {})
        house.bench.queue(job)

        asyncio.run(until_over(house.bench, job))
        house.close()
        tables.close()

    assert (job.state, job.error) == ("done", "")
    found = json.loads((tmp_path / "backtests" / job.id / "result.json").read_bytes())
    assert len(found["equity"]) > 300
    assert not (tmp_path / "data").exists()


async def until_over(bench: Bench, job: Job) -> None:
    """Let a bench work until a piece has ended."""
    ended = asyncio.Event()

    def heard(_: str, each: Job) -> None:
        if each is job and each.state not in ("queued", "running"):
            ended.set()

    bench.heard = heard
    working = asyncio.create_task(bench.work())
    await ended.wait()
    working.cancel()


def _cache(task: Task, tell: Tell) -> dict[str, Any]:
    from abidance.kernel.native import cache_folder

    return {"cache": str(cache_folder())}


def test_work_keeps_compiled_code_in_the_user_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ABIDANCE_HOME", "ABIDANCE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    ours, theirs = get_context("spawn").Pipe(duplex=False)
    task = Task("one", CONFIG, {}, tmp_path, tmp_path, str(tmp_path))

    process = get_context("spawn").Process(target=do, args=(theirs, Kind("probe", "probes", _cache), task))
    process.start()
    theirs.close()
    told = ours.recv()
    process.join()

    assert told[:2] == ("done", {"cache": str(tmp_path / "cache" / "compiled")})


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("searches", {"config": CONFIG, "objectives": ["/tmp/x.py:f"]}, "objectives.0"),
        ("searches", {"config": CONFIG, "objectives": ["luck"]}, "luck"),
        ("searches", {"config": CONFIG, "spaces": ["fast=../../x"]}, "spaces.0"),
        (
            "searches",
            {"config": {**CONFIG, "strategies": [{"strategy": "/etc/x.py:X"}]}},
            "no strategy's name",
        ),
        ("searches", {"config": CONFIG, "storage": "postgresql://host/x"}, "storage"),
        ("verdicts", {"config": {**CONFIG, "timefrme": "1h"}}, "timefrme"),
        ("downloads", {"instruments": ["nonsense"]}, "nonsense"),
        ("downloads", {"instruments": ["BTC/USDT"], "timeframes": ["99x"]}, "99x"),
        ("downloads", {"instruments": ["BTC/USDT"], "funding": True}, "funding"),
        ("downloads", {"instruments": []}, "instruments"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_queued(
    nobody: TestClient, house: House, path: str, body: dict[str, Any], told: str
) -> None:
    operator = logged_in(nobody, house, "operator")

    answer = operator.post(f"/api/v1/{path}", json=body, headers=CHANGE)

    assert answer.status_code == 422, answer.text
    assert told in answer.text
    assert operator.get(f"/api/v1/{path}").json()["items"] == []


def test_a_verdict_on_a_backtest_that_is_not_there_is_refused(nobody: TestClient, house: House) -> None:
    operator = logged_in(nobody, house, "operator")

    answer = operator.post("/api/v1/verdicts", json={"backtest": "none"}, headers=CHANGE)

    assert answer.status_code == 404


def test_the_calendar_counts_the_bars_of_each_day(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")
    place = {"instrument": "BTC/USDT@BINANCE", "timeframe": "1h"}
    stored = next(
        each for each in viewer.get("/api/v1/data").json()
        if (each["instrument"], each["timeframe"]) == ("BTC/USDT@BINANCE", "1h")
    )  # fmt: skip

    found = viewer.get("/api/v1/data/calendar", params=place).json()
    nothing = viewer.get("/api/v1/data/calendar", params={**place, "instrument": "NO/SUCH@BINANCE"})
    week = viewer.get("/api/v1/data/calendar", params={**place, "timeframe": "1w"})

    assert found["wanted"] == 24
    assert sum(found["rows"]) == stored["rows"]
    assert found["start"] <= stored["first"] < found["start"] + 86_400_000
    assert nothing.status_code == 422
    assert week.status_code == 422


def test_work_of_every_kind_stands_in_one_list_newest_first(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path / "user")
    for number, (folder, state) in enumerate(
        [("backtests", "done"), ("searches", "running"), ("downloads", "queued"), ("backtests", "failed")]
    ):
        job = Job(f"id{number}", {"secret": 1}, f"work {number}", "ada", 1_000 + number, state)
        place = tmp_path / "user" / folder / job.id
        place.mkdir(parents=True)
        (place / "request.json").write_text(json.dumps(asdict(job)))
    house = House(tmp_path / "user", open_tables(tmp_path / "user" / "data"), demo=True, passwords=QUICK)
    with TestClient(create_app(house, RULES), ORIGIN, client=("127.0.0.1", 5)) as client:
        first = client.get("/api/v1/jobs", params={"limit": 3}).json()
        rest = client.get("/api/v1/jobs", params={"limit": 3, "cursor": first["next"]}).json()
        failed = client.get("/api/v1/jobs", params={"state": "failed"}).json()["items"]
        kinds = {
            kind: client.get("/api/v1/jobs", params={"kind": kind}).json()["items"]
            for kind in ("backtest", "search", "verdict", "download")
        }

    found = [(each["id"], each["kind"], each["state"]) for each in first["items"] + rest["items"]]
    assert found == [
        ("id3", "backtest", "failed"),
        ("id2", "download", "failed"),  # those that waited or ran when the server ended
        ("id1", "search", "failed"),
        ("id0", "backtest", "done"),
    ]
    assert len(failed) == 3
    assert {kind: [each["id"] for each in items] for kind, items in kinds.items()} == {
        "backtest": ["id3", "id0"],
        "search": ["id1"],
        "verdict": [],
        "download": ["id2"],
    }
    assert "config" not in first["items"][0]


def test_a_stored_series_is_judged_as_the_terminal_does(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")
    bars = house.catalog.read("BTC/USDT@BINANCE", "1h")
    broken = Bars(
        "X/USDT@BINANCE", "1h", bars.ts[[0, 1, 2, 5, 6]], [each[:5].copy() for each in bars.columns()]
    )
    house.catalog.store.write(broken)

    whole, holed = (
        viewer.get("/api/v1/data/quality", params={"instrument": id, "timeframe": "1h"}).json()
        for id in (bars.instrument, broken.instrument)
    )
    none = viewer.get("/api/v1/data/quality", params={"instrument": "NO/USDT@BINANCE", "timeframe": "1h"})

    report = inspect_bars(bars)
    assert (whole["grade"], whole["rows"], whole["missing"]) == (report.grade, len(bars), report.missing)
    assert whole["reasons"] == list(report.reasons)
    assert whole["odd"] == len(findings(bars)) >= len(whole["oddest"])
    assert (holed["grade"], holed["missing"], holed["months"][0]["share"]) == ("warning", 2, 5 / 7)
    assert none.status_code == 422


def test_every_kind_of_data_is_listed_with_the_times_it_cannot_be_trusted(
    nobody: TestClient, house: House
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    id, start, hour = "X/USDT:USDT@BINANCE", 1_700_000_000 * 10**9, 3_600 * 10**9
    tables = house.catalog.store.tables
    due = start + np.array([0, 8, 24]) * hour  # the rate of the sixteenth hour is missing
    FundingStore(tables).write(Funding(id, due, np.full(3, 1e-4)))
    quote = {"ts": start, "bid": 1.0, "bid_size": 1.0, "ask": 2.0, "ask_size": 1.0, "received": start}
    tables.append(
        Place(id, "quotes"), pl.DataFrame([quote, quote | {"ts": start + 9}], tape_schema("quotes"))
    )
    doubts = (
        Hole(start + 3 * 10**9, start + 4 * 10**9, "gap: lost"),
        Hole(start, start + 2 * 10**9, "stale: silent"),
    )
    tables.note(Place(id, "quotes"), Spans((), doubts))

    held = [each for each in viewer.get("/api/v1/data").json() if each["instrument"] == id]
    rates, quotes = (
        viewer.get("/api/v1/data/gaps", params={"instrument": id, "kind": kind}).json()["items"]
        for kind in ("funding", "quotes")
    )
    first_page = viewer.get(
        "/api/v1/data/gaps", params={"instrument": id, "kind": "quotes", "limit": 1}
    ).json()
    second_page = viewer.get(
        "/api/v1/data/gaps",
        params={"instrument": id, "kind": "quotes", "limit": 1, "cursor": first_page["next"]},
    ).json()
    untold = viewer.get("/api/v1/data/gaps", params={"instrument": id})

    assert [(each["kind"], each["rows"], each["missing"], each["quality"]) for each in held] == [
        ("funding", 3, None, None), ("quotes", 2, None, None),
    ]  # fmt: skip
    first = start // 10**6
    assert [(each["start"], each["end"], each["rows"]) for each in rates] == [
        (first + 8 * 3_600_000, first + 24 * 3_600_000, None)
    ]
    assert [(each["start"], each["reason"]) for each in quotes] == [
        (first, "stale: silent"), (first + 3_000, "gap: lost"),
    ]  # fmt: skip
    assert [*first_page["items"], *second_page["items"]] == quotes
    assert (first_page["total"], second_page["next"]) == (2, None)
    assert untold.status_code == 422
