"""Bots that are started from the dashboard: what is typed for them, and what real orders ask for besides."""

import threading
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from abidance.api.bots import Recipe
from abidance.api.fitting import asked_as
from abidance.api.following import Followed
from abidance.api.house import House
from abidance.model.errors import ConfigError, UsageError
from abidance.run.door import Answer
from tests.unit.api.conftest import CHANGE, PASSWORD, Clock, Node, Spawned, logged_in

BOT: dict[str, Any] = {
    "name": "mine",
    "strategies": [{"strategy": "EmaCross", "parameters": {"fast": 7}}, {"strategy": "Donchian"}],
    "instruments": ["BTC/USDT@BINANCE", "ETH/USDT@BINANCE"],
}
ABROAD = {"instruments": ["BTC/USDT@BINANCE", "ETH/USDT@KRAKEN"]}
ONE = {"name": "mine", "strategies": [{"strategy": "EmaCross"}], "instruments": ["BTC/USDT@BINANCE"]}
REAL = BOT | ABROAD | {"name": "real", "is_real": True}


@pytest.fixture(autouse=True)
def _none_yet() -> None:
    Spawned.typed.clear()
    Spawned.given.clear()


@pytest.fixture
def _starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is started end without a complaint."""
    monkeypatch.setattr(Spawned, "code", 0)


@pytest.mark.usefixtures("_starts")
def test_a_paper_bot_is_started_as_one_would_type_it(nobody: TestClient, house: House) -> None:
    operator = logged_in(nobody, house, "operator")

    answer = operator.post("/api/v1/bots", json=BOT | {"speed": 3600, "fresh": True}, headers=CHANGE)

    (typed,) = Spawned.typed
    file = house.userdir / "bots" / "mine.toml"
    assert typed[2:] == [
        "abidance", "trade", "--plain", "-c", str(file), "--userdir", str(house.userdir), "--speed", "3600.0", "--fresh",
    ]  # fmt: skip
    assert "fast = 7" in file.read_text()
    assert answer.status_code == 201
    assert "bot.start" in [each["action"] for each in _audit(nobody, house)]


def kept(house: House) -> dict[str, bytes]:
    return {
        each.name: each.read_bytes() for each in (house.userdir / "bots").glob("*.*") if each.suffix != ".log"
    }


def test_a_start_that_fails_says_why_and_leaves_what_was_put_down_before(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = logged_in(nobody, house, "operator")

    first = operator.post("/api/v1/bots", json=BOT, headers=CHANGE)
    nothing = kept(house)
    monkeypatch.setattr(Spawned, "code", 0)
    operator.post("/api/v1/bots", json=BOT, headers=CHANGE)
    before = kept(house)
    monkeypatch.setattr(Spawned, "code", 2)
    other = BOT | {"instruments": ["SOL/USDT@BINANCE"], "wallet": 1}
    second = operator.post("/api/v1/bots", json=other, headers=CHANGE)

    assert (first.status_code, first.json()["remedy"]) == (422, "It cannot be.")
    assert second.status_code == 422
    assert nothing == {}
    assert sorted(before) == ["mine.json", "mine.toml"]
    assert kept(house) == before


@pytest.mark.usefixtures("_starts")
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("known", ["by how it was started", "by its record", "by nothing"])
def test_the_name_of_a_bot_with_real_orders_is_not_given_to_one_on_paper(
    nobody: TestClient, house: House, known: str, fresh: bool
) -> None:
    admin, name = logged_in(nobody, house, "admin"), "real"
    if known == "by how it was started":
        admin.post("/api/v1/bots", json=REAL | {"confirm": ["BINANCE", "KRAKEN"]}, headers=CHANGE)
    elif known == "by its record":
        replica, name = house.runs.get("demo").replica, "demo"
        replica.header = msgspec.structs.replace(replica.header, mode="live")
    else:
        house.runs.broken["real"] = "It cannot be read."
    before, lines = kept(house), len(house.audit.last(100))
    Spawned.typed.clear()

    answer = admin.post("/api/v1/bots", json=BOT | {"name": name, "fresh": fresh}, headers=CHANGE)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")
    assert "real orders" in answer.json()["detail"]
    assert kept(house) == before
    assert Spawned.typed == []
    assert len(house.audit.last(100)) == lines


def test_a_start_under_the_name_of_a_bot_that_runs_touches_nothing_of_it(
    nobody: TestClient, house: House
) -> None:
    house.bots.keep(*house.bots.plan(ONE | {"name": "demo"}, Recipe("demo", is_real=True)))
    before, admin = kept(house), logged_in(nobody, house, "admin")
    body = REAL | {"name": "demo", "confirm": ["BINANCE", "KRAKEN"]}

    with Node(house, Answer()):
        answer = admin.post("/api/v1/bots", json=body, headers=CHANGE)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")
    assert "is running" in answer.json()["detail"]
    assert kept(house) == before
    assert Spawned.typed == []


def test_two_starts_of_one_name_at_once_start_one(house: House) -> None:
    begun, goes = threading.Event(), threading.Event()

    def slowly(*given: Any, **more: Any) -> Spawned:
        begun.set()
        assert goes.wait(60)
        return Spawned(*given, **more)

    house.bots._spawn = slowly  # type: ignore[assignment]
    config, recipe = house.bots.plan(ONE, Recipe("mine"))
    told: list[str] = []

    def start() -> None:
        try:
            house.bots.begin(config, recipe)
        except UsageError as error:
            told.append(error.found)

    first = threading.Thread(target=start)
    first.start()
    assert begun.wait(60)
    start()
    goes.set()
    first.join(60)

    assert told == ["The bot mine is being started.", "The bot mine did not start."]


def test_real_orders_take_an_admin_a_fresh_password_and_every_venue_typed_back(
    nobody: TestClient, house: House, clock: Clock
) -> None:
    admin, operator = logged_in(nobody, house, "admin"), logged_in(nobody, house, "operator")

    by_operator = operator.post("/api/v1/bots", json=REAL, headers=CHANGE)
    unnamed = admin.post("/api/v1/bots", json=REAL | {"confirm": ["binance"]}, headers=CHANGE)
    clock.seconds += 301
    stale = admin.post("/api/v1/bots", json=REAL | {"confirm": ["BINANCE", "KRAKEN"]}, headers=CHANGE)
    before = list(Spawned.typed)
    admin.post("/api/v1/session/confirm", json={"password": PASSWORD}, headers=CHANGE)
    secret = {"passphrase": "of the vault, whole"}
    admin.post("/api/v1/bots", json=REAL | secret | {"confirm": ["BINANCE", "KRAKEN"]}, headers=CHANGE)

    assert [by_operator.json()["code"], unnamed.json()["code"], stale.json()["code"]] == [
        "role",
        "venue",
        "confirm",
    ]
    assert "KRAKEN" in unnamed.json()["detail"]
    assert before == []
    assert Spawned.typed[0][-5:] == ["--live", "--account", "main", "--confirm", "BINANCE,KRAKEN"]
    assert Spawned.given[0]["ABIDANCE_PASSPHRASE"] == secret["passphrase"]
    kept = [path.read_bytes() for path in house.userdir.rglob("*") if path.is_file()]
    assert not any(secret["passphrase"].encode() in content for content in kept)


@pytest.mark.usefixtures("_starts")
def test_a_bot_with_real_orders_is_not_started_again_without_the_same_questions(
    nobody: TestClient, house: House
) -> None:
    admin, operator = logged_in(nobody, house, "admin"), logged_in(nobody, house, "operator")
    admin.post("/api/v1/bots", json=REAL | {"confirm": ["BINANCE", "KRAKEN"]}, headers=CHANGE)

    by_operator = operator.post(
        "/api/v1/bots/real/start", json={"confirm": ["BINANCE", "KRAKEN"]}, headers=CHANGE
    )
    unnamed = admin.post("/api/v1/bots/real/start", json={}, headers=CHANGE)

    assert (by_operator.json()["code"], unnamed.json()["code"]) == ("role", "venue")
    assert len(Spawned.typed) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../elsewhere"},
        {"strategies": [{"strategy": "/tmp/any.py"}]},
        {
            "strategies": [
                {"strategy": "EmaCross", "allocation": 0.7},
                {"strategy": "Donchian", "allocation": 0.7},
            ]
        },
        {"instruments": ["BTCUSDT"]},
        {"timeframe": "7x"},
        {"store": "postgresql://elsewhere/db"},
        {"feed": "magic"},
        {"speed": -1},
    ],
)
def test_what_does_not_fit_starts_nothing(nobody: TestClient, house: House, wrong: dict[str, Any]) -> None:
    operator = logged_in(nobody, house, "operator")

    answer = operator.post("/api/v1/bots", json=BOT | wrong, headers=CHANGE)

    assert answer.status_code == 422
    assert Spawned.typed == []


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"strategies": [{"strategy": "EmaCross"}, {"strategy": "EmaCros"}]}, ["strategies.1.strategy"]),
        (
            {"strategies": [{"strategy": "EmaCross", "parameters": {"fast": 0.5, "fst": 3, "slow": 90}}]},
            ["strategies.0.parameters.fast", "strategies.0.parameters.fst"],
        ),
        ({"instruments": ["BTC/USDT@BINANCE", "BTCUSDT"]}, ["instruments"]),
        ({"timeframe": "0h"}, ["timeframe"]),
        ({"timerange": "20250201-20250101"}, ["timerange"]),
        ({"instruments": ["BTC/USDT@BINANCE"], "timerange": "20300101-"}, ["timerange"]),
        (ABROAD, ["instruments"]),  # no bars of Kraken are stored
        ({"wallet": 0}, ["wallet"]),
        ({"account": "../else"}, ["account"]),
    ],
)
def test_what_does_not_fit_is_told_by_the_field_that_was_sent(
    nobody: TestClient, house: House, wrong: dict[str, Any], fields: list[str]
) -> None:
    operator = logged_in(nobody, house, "operator")

    answer = operator.post("/api/v1/bots", json=BOT | wrong, headers=CHANGE)

    assert answer.status_code == 422
    assert sorted(each["field"] for each in answer.json()["errors"]) == fields
    assert all(each["message"] for each in answer.json()["errors"])
    assert Spawned.typed == []


def test_a_setting_that_the_file_calls_otherwise_is_told_as_it_was_sent() -> None:
    flaw = ConfigError("dry_run_wallet does not fit.", "", {"dry_run_wallet": "dry_run_wallet does not fit."})

    with pytest.raises(ConfigError) as told, asked_as({"dry_run_wallet": "wallet"}):
        raise flaw

    assert told.value.fields == {"wallet": "wallet does not fit."}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/v1/runs/demo/orders",
            {"strategy": "ema", "instrument": "BTC/USDT@BINANCE", "side": "buy", "quantity": "1"},
        ),
        ("/api/v1/runs/demo/control", {"action": "pause_entries"}),
        ("/api/v1/bots/demo/stop", {}),
    ],
)
def test_a_bot_that_ends_before_it_takes_what_was_asked_is_told_as_such(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    """It ran when the request came, and its door is gone when the order is handed in."""
    operator = logged_in(nobody, house, "operator")
    if "strategy" in body:
        body = body | {"strategy": next(iter(house.runs.get("demo").replica.state.strategies))}
    monkeypatch.setattr(Followed, "is_running", property(lambda _: True))

    answer = operator.post(path, json=body, headers=CHANGE)

    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, "not_running")
    assert "nothing was done" in told["detail"]
    assert told["remedy"]


def _audit(nobody: TestClient, house: House) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = logged_in(nobody, house, "admin").get("/api/v1/audit").json()["items"]
    return found
