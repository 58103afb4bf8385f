"""Exchange keys over the API: what goes in is checked at its venue, and never comes out."""

import errno
import os
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.security import vault
from tests.unit.api.conftest import CHANGE, Clock, logged_in
from tests.unit.venues.keyed_venue import GOOD, KEY, SECRET, KeyedVenue

VAULT = "words that open the vault"
GIVEN = {"venue": "binance", "key": KEY, "secret": SECRET, "vault": VAULT}


def test_a_key_goes_its_whole_way_and_is_seen_nowhere(
    nobody: TestClient, house: House, venue: KeyedVenue
) -> None:
    admin = logged_in(nobody, house, "admin")

    def ask(method: str, path: str, **body: str) -> Any:
        return admin.request(method, f"/api/v1/keys{path}", json=body or None, headers=CHANGE)

    wrong = ask("POST", "", **GIVEN | {"secret": SECRET[:-4] + "AAA="})
    venue.said = (200, GOOD["BINANCE"] | {"enableWithdrawals": True})
    refused = ask("POST", "", **GIVEN)
    assert not (house.userdir / "vault").exists()
    venue.said = (200, GOOD["BINANCE"] | {"ipRestrict": False})
    added, again = ask("POST", "", **GIVEN), ask("POST", "", **GIVEN)
    listed = ask("GET", "").json()
    locked = ask("POST", "/BINANCE/main/check", vault="words that open nothing")
    checked = ask("POST", "/BINANCE/main/check", vault=VAULT)
    rotated = ask("PUT", "", **GIVEN)
    missing = ask("PUT", "", **GIVEN | {"account": "other"})
    removed = ask("POST", "/BINANCE/main/remove", vault=VAULT)

    assert [each.status_code for each in (wrong, refused, again, locked, missing)] == [422] * 5
    assert "withdraw" in refused.json()["detail"]
    assert (added.status_code, added.json()["ends_in"]) == (201, KEY[-4:])
    assert "every address" in added.json()["warnings"][0]
    assert (listed["keys"], listed["has_vault"]) == ([{"venue": "BINANCE", "account": "main"}], True)
    assert [each.status_code for each in (checked, rotated, removed)] == [200] * 3
    assert ask("GET", "").json()["keys"] == []
    answers = [wrong, refused, added, again, locked, checked, rotated, missing, removed]
    seen = b"".join(each.content for each in answers)
    seen += b"".join(path.read_bytes() for path in house.userdir.rglob("*") if path.is_file())
    assert not [each for each in (KEY, SECRET, VAULT) if each[:12].encode() in seen]
    assert "key.add" in (house.userdir / "audit.log").read_text()


def test_a_check_is_told_although_there_is_no_room_to_note_it(
    nobody: TestClient, house: House, venue: KeyedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = logged_in(nobody, house, "admin")
    admin.post("/api/v1/keys", json=GIVEN, headers=CHANGE)
    venue.said = (200, GOOD["BINANCE"] | {"enableWithdrawals": True})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(vault, "_write", full)
    checked = admin.post("/api/v1/keys/BINANCE/main/check", json={"vault": VAULT}, headers=CHANGE)

    assert checked.status_code == 200, checked.text
    assert checked.json()["refused"] == ["It can withdraw money."]
    assert "could not be noted in the vault: No space left on device." in checked.json()["warnings"][-1]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_key_asks_for_an_admin_with_a_fresh_password(
    nobody: TestClient, house: House, clock: Clock, method: str
) -> None:
    operator, admin = logged_in(nobody, house, "operator"), logged_in(nobody, house, "admin")
    clock.seconds += 301

    codes = [
        client.request(method, "/api/v1/keys", json=GIVEN, headers=CHANGE).json()["code"]
        for client in (operator, admin)
    ]

    assert codes == ["role", "confirm"]


def test_venues_say_what_can_be_done_there(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")

    found = {each["name"]: each for each in viewer.get("/api/v1/venues").json()}

    assert {"BINANCE", "BYBIT", "KRAKEN", "KUCOIN", "MEXC"} <= set(found)
    assert found["KUCOIN"]["wants_passphrase"]
    assert "spot" in found["BINANCE"]["orders"]
