"""What does not fit in a form is told by the field of the request that it is about."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from tests.unit.api.conftest import CHANGE, PASSWORD, logged_in

CONFIG = {"instruments": ["BTC/USDT@BINANCE"], "timeframe": "1d", "strategies": [{"strategy": "EmaCross"}]}
SEARCH = {"config": CONFIG | {"timerange": "20240101-20250101"}}
BTC = {"instruments": ["BTC/USDT@BINANCE"]}
ORDER = {"strategy": "EmaCross", "instrument": "BTC/USDT@BINANCE", "side": "buy", "quantity": "1"}
KEY = {"venue": "BINANCE", "key": "a" * 40, "secret": "b" * 40, "vault": "words that open the vault"}
USER = {"name": "vera", "password": PASSWORD}
RESET = {"action": "reset_circuits"}
DOWNLOAD = {"instruments": ["BTC/USDT@BINANCE"]}


@pytest.mark.parametrize(
    ("way", "body", "field"),
    [
        ("POST /users", USER | {"name": "a b"}, "name"),
        ("POST /users", USER | {"name": "viewer"}, "name"),
        ("POST /tokens", {"name": "two words"}, "name"),
        ("POST /bots", {"name": "two words", "strategies": [{"strategy": "EmaCross"}], **BTC}, "name"),
        (
            "POST /bots",
            {"name": "one.20250101-120000", "strategies": [{"strategy": "EmaCross"}], **BTC},
            "name",
        ),
        ("POST /searches", SEARCH | {"train_until": "soon"}, "train_until"),
        ("PUT /runs/demo/round-trips/0/note", {"labels": ["a b"], "note": ""}, "labels.0"),
        ("POST /users", USER | {"password": "short"}, "password"),
        ("PATCH /users/viewer", {"password": "short"}, "password"),
        ("PUT /session/password", {"password": "short"}, "password"),
        ("PUT /session/totp", {"code": "000000"}, "code"),
        ("POST /session/confirm", {"password": "wrong"}, "password"),
        ("POST /tokens", {"name": "one", "addresses": ["nowhere"]}, "addresses"),
        ("POST /tokens", {"name": "one", "days": 0}, "days"),
        ("POST /keys", KEY | {"venue": "BINANSE"}, "venue"),
        ("POST /keys", KEY | {"venue": "?"}, "venue"),
        ("POST /keys", KEY | {"account": "a b"}, "account"),
        ("POST /keys", KEY | {"key": "two words"}, "key"),
        ("POST /keys", KEY | {"secret": " "}, "secret"),
        ("PUT /keys", KEY, "vault"),
        ("POST /downloads", DOWNLOAD | {"instruments": ["nonsense"]}, "instruments"),
        ("POST /downloads", DOWNLOAD | {"funding": True}, "instruments"),
        ("POST /downloads", DOWNLOAD | {"timeframes": ["7x"]}, "timeframes"),
        ("POST /downloads", DOWNLOAD | {"timerange": "yesterday"}, "timerange"),
        ("POST /downloads", DOWNLOAD | {"timerange": "29990101-"}, "timerange"),
        ("POST /searches", SEARCH | {"objectives": ["luck"]}, "objectives"),
        ("POST /searches", SEARCH | {"spaces": ["fast=9:3"]}, "spaces.fast"),
        ("POST /searches", SEARCH | {"spaces": ["fast=many"]}, "spaces.fast"),
        ("POST /searches", SEARCH | {"spaces": ["faster=1:2"]}, "spaces.faster"),
        ("POST /searches", SEARCH | {"train_until": "20300101"}, "train_until"),
        ("POST /searches", {"config": CONFIG | {"timerange": "soon"}}, "config.timerange"),
        ("POST /backtests", {"config": CONFIG | {"dry_run_wallet": -1}}, "config.dry_run_wallet"),
        ("POST /runs/demo/orders", ORDER | {"quantity": "-1"}, "quantity"),
        ("POST /runs/demo/orders", ORDER | {"type": "limit", "price": "cheap"}, "price"),
        ("PATCH /runs/demo/risk/limits", {"price_collar": 2.5}, "price_collar"),
        *(
            ("POST /runs/demo/risk/circuits/reset", {"venue": each}, "venue")
            for each in ("moon", "?", "X" * 25)
        ),
        ("POST /runs/demo/risk/circuits/reset", {"part": "moon"}, "part"),
        ("POST /runs/demo/control", RESET | {"values": {"venue": "moon"}}, "values.venue"),
        ("POST /runs/demo/control", RESET | {"values": {"part": "moon"}}, "values.part"),
    ],
)
def test_each_flaw_of_a_form_names_its_field_and_says_what_is_wrong(
    nobody: TestClient, house: House, way: str, body: dict[str, Any], field: str
) -> None:
    admin = logged_in(nobody, house, "admin")
    if field == "code":
        assert admin.post("/api/v1/session/totp", headers=CHANGE).status_code == 200
    method, _, path = way.partition(" ")

    answer = admin.request(method, f"/api/v1{path}", json=body, headers=CHANGE)

    assert answer.status_code in (403, 422), answer.text
    (flaw,) = answer.json()["errors"]
    assert flaw["field"] == field
    assert len(flaw["message"]) > 10
    assert "pattern" not in flaw["message"]
    assert house.searches.all() == []


def test_a_start_with_real_orders_names_the_field_that_confirms_it(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")
    bot = {
        "name": "real", "strategies": [{"strategy": "EmaCross"}], "instruments": ["BTC/USDT@BINANCE"],
        "feed": "live", "is_real": True,
    }  # fmt: skip

    answer = admin.post("/api/v1/bots", json=bot, headers=CHANGE)

    assert [each["field"] for each in answer.json()["errors"]] == ["confirm"]


def test_a_wrong_setup_token_names_its_field(nobody: TestClient) -> None:
    answer = nobody.post("/api/v1/setup", json=USER | {"token": "guessed"}, headers=CHANGE)

    assert [each["field"] for each in answer.json()["errors"]] == ["token"]
