"""What a server keeps of passwords."""

import sqlite3

from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.security.database import USERS
from abidance.security.passwords import Passwords
from tests.unit.api.conftest import CHANGE, logged_in

COST = "$argon2id$v=19$m=65536,t=3,p=4$"


def test_what_a_server_keeps_of_a_password_is_argon2id_and_nothing_else(
    nobody: TestClient, house: House
) -> None:
    admin = logged_in(nobody, house, "admin")
    house.passwords = Passwords()
    words = "seven herons over a harbour"

    admin.post("/api/v1/users", json={"name": "bob", "password": words}, headers=CHANGE)
    admin.put("/api/v1/session/password", json={"password": words}, headers=CHANGE)

    with sqlite3.connect(house.userdir / USERS) as database:
        kept = dict(database.execute("SELECT name, password FROM users WHERE name IN ('bob', 'admin')"))
    database.close()
    assert kept["bob"].startswith(COST)
    assert kept["admin"].startswith(COST)
    files = [path.read_bytes() for path in house.userdir.rglob("*") if path.is_file()]
    assert not any(words.encode() in each for each in files)
