"""What cannot be read is told in a sentence at its field, and never as a pattern."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from tests.unit.api.conftest import CHANGE, logged_in

BARS = "bars?instrument=BTC/USDT@BINANCE&timeframe=1h"
ORDER = {"strategy": "EmaCross", "instrument": "BTC/USDT@BINANCE", "side": "buy", "quantity": "1"}
CONFIG = {"instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}]}
RUN = "runs/demo"
CASES: list[tuple[str, str, Any, str]] = [
    ("GET", f"{RUN}/orders?cursor=x", None, "cursor"),
    ("GET", f"{RUN}/indicators?instrument=BTC/USDT@BINANCE&timeframe=1h&names=rsi", None, "names"),
    ("GET", f"{BARS}&start=2000&end=1000", None, "start"),
    ("POST", f"{RUN}/orders", ORDER | {"id": "a b"}, "id"),
    ("POST", f"{RUN}/orders", ORDER | {"type": "limit"}, "price"),
    ("POST", f"{RUN}/orders", ORDER | {"type": "stop_limit", "price": "1"}, "trigger"),
    ("POST", f"{RUN}/orders", ORDER | {"type": "take_profit"}, "trigger"),
    ("POST", "searches", {"config": CONFIG, "spaces": ["fast=🙂/\\"]}, "spaces.0"),
    ("POST", "searches", {"config": CONFIG, "objectives": ["Sharpe!"]}, "objectives.0"),
    ("POST", f"{RUN}/orders", b'{"strategy": ', "body"),
]


def test_each_is_told_in_a_sentence_at_its_field(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")
    headers = CHANGE | {"Content-Type": "application/json"}

    for method, path, body, field in CASES:
        given: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = admin.request(method, f"/api/v1/{path}", headers=headers, **given)

        assert answer.status_code == 422, (path, answer.text)
        (flaw,) = answer.json()["errors"]
        assert flaw["field"] == field
        assert len(flaw["message"]) > 10
        assert not set(flaw["message"]) & set("^$\\"), flaw


@pytest.mark.parametrize("body", [b'{"label": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_text_or_too_deep_says_what_to_send(
    nobody: TestClient, house: House, body: bytes
) -> None:
    headers = CHANGE | {"Content-Type": "application/json"}

    answer = logged_in(nobody, house, "admin").post("/api/v1/searches", content=body, headers=headers)

    assert answer.status_code in (400, 413), answer.text
    assert len(answer.json()["remedy"]) > 5


def test_the_audit_line_of_a_token_holds_its_addresses(nobody: TestClient, house: House) -> None:
    body = {"name": "one", "addresses": ["10.0.0.0/8"]}

    answer = logged_in(nobody, house, "admin").post("/api/v1/tokens", json=body, headers=CHANGE)

    assert answer.status_code == 201, answer.text
    made = next(each for each in house.audit.last(5) if each.action == "token.make")
    assert "10.0.0.0/8" in str(made)
