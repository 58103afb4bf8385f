"""Orders that people place are told from those of the strategy; a strategy file that is broken says why."""

from typing import Any

from starlette.testclient import TestClient

from abidance.api.house import House
from tests.unit.api.conftest import CHANGE, logged_in, read_all
from tests.unit.api.test_belonging import CONFIG, trading

ORDER: dict[str, Any] = {
    "strategy": "EmaCross", "instrument": "BTC/USDT@BINANCE", "side": "buy", "type": "limit", "price": "60000",
    "stop_distance": 1000,
}  # fmt: skip
RUN = "/api/v1/runs/mine"


def test_orders_by_hand_are_told_from_the_strategys_own(nobody: TestClient, house: House) -> None:
    found: dict[str, int] = {}
    with trading(house, CONFIG):
        read_all(nobody, house)
        operator = logged_in(nobody, house, "operator")
        placed = operator.post(f"{RUN}/orders", json=ORDER | {"quantity": "0.01"}, headers=CHANGE)
        refused = operator.post(f"{RUN}/orders", json=ORDER | {"quantity": "1000"}, headers=CHANGE)
        read_all(nobody, house)
        for what in ("orders", "refusals"):
            for kind in ("", "?by_hand=true", "?by_hand=false"):
                found[f"{what}{kind}"] = len(operator.get(f"{RUN}/{what}{kind}").json()["items"])
        tags = [each["tag"] for each in operator.get(f"{RUN}/orders").json()["items"]]

    assert (placed.status_code, refused.status_code) == (200, 409), placed.text
    assert tags == ["manual"]
    assert found == {
        "orders": 1, "orders?by_hand=true": 1, "orders?by_hand=false": 0,
        "refusals": 1, "refusals?by_hand=true": 1, "refusals?by_hand=false": 0,
    }  # fmt: skip


def test_a_strategy_file_with_a_mistake_is_listed_by_its_name_and_the_reason(
    nobody: TestClient, house: House
) -> None:
    house.strategies.mkdir(exist_ok=True)
    (house.strategies / "broken.py").write_text("class Broken(\n    x = = 1\n")

    listed = logged_in(nobody, house, "viewer").get("/api/v1/strategies").json()

    (broken,) = (each for each in listed if each["problem"])
    assert broken["name"] == "broken.py"
    assert "broken.py:" in broken["problem"]
    assert "SyntaxError" in broken["problem"]
    assert str(house.userdir) not in broken["problem"]
