"""A user directory with one recorded run, and an application over it that is asked without a network."""

import shutil
import time
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import IO, ClassVar

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from abidance.api.app import create_app
from abidance.api.bots import Bots
from abidance.api.doorman import Rules
from abidance.api.house import House
from abidance.market.store import BarStore, Catalog, open_tables
from abidance.run.config import load
from abidance.run.door import Answer, Door, Wish
from abidance.run.paper import Paper
from abidance.security.passwords import Passwords
from abidance.security.roles import Role
from tests.unit.venues.keyed_venue import KeyedVenue, on_loopback

ORIGIN = "https://localhost"
CHANGE = {"Origin": ORIGIN, "X-Abidance": "1"}
PASSWORD = "four unrelated words"
QUICK = Passwords(memory_kib=8, rounds=1, lanes=1)
RULES = Rules(frozenset({"localhost"}), "https", rate=1e6, burst=1_000_000)


class Clock:
    """Seconds since 1970 that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Spawned:
    """What would have been started as a process; it has ended at once, with a complaint."""

    code: ClassVar[int] = 2
    typed: ClassVar[list[list[str]]] = []
    given: ClassVar[list[Mapping[str, str]]] = []

    def __init__(self, typed: list[str], *, stdout: IO[bytes], env: Mapping[str, str], **_: object) -> None:
        self.typed.append(typed)
        self.given.append(env)
        self.returncode = self.code
        stdout.write(b"It cannot be.\n")

    def poll(self) -> int:
        return self.returncode


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user directory in which the bot `demo` has traded ten days on paper."""
    folder = tmp_path_factory.mktemp("recorded")
    settings = Path(str(files("abidance").joinpath("data", "demo.toml")))
    config = load([settings], {"timerange": "20250501-20250511", "journal_sync": "never"}, {})
    with Paper(config, Catalog(BarStore(folder / "data")), None, folder / "runs" / "demo") as paper:
        paper.run(0.0, lambda: False, lambda _: None)
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def house(recorded: Path, tmp_path: Path, clock: Clock) -> House:
    shutil.copytree(recorded, tmp_path / "user")
    made = House(tmp_path / "user", open_tables(tmp_path / "user" / "data"), passwords=QUICK, now=clock)
    made.bots = Bots(made.userdir, made.catalog, spawn=Spawned)  # type: ignore[arg-type]
    return made


@pytest.fixture
def venue(house: House) -> Iterator[KeyedVenue]:
    """Return a venue on loopback that checks signatures, named by the configuration of the user directory."""
    found = KeyedVenue("BINANCE", time.time_ns())

    with on_loopback(found) as settings:
        (house.userdir / "config.toml").write_text(settings)
        yield found


class Node:
    """A running node as far as its door goes: it keeps the wishes that come and answers them all alike."""

    def __init__(self, house: House, answer: Answer) -> None:
        self.taken: list[Wish] = []
        self._answer = answer
        folder = house.runs.folder / "demo"
        self._door = Door(folder, lambda: self._door.drain(self._take), end=lambda: None)

    def _take(self, wish: Wish) -> Answer:
        self.taken.append(wish)
        return self._answer

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()


@pytest.fixture
def app(house: House) -> FastAPI:
    return create_app(house, RULES, web=house.userdir / "web")


@pytest.fixture
def nobody(app: FastAPI, house: House) -> Iterator[TestClient]:
    with TestClient(app, ORIGIN, client=("127.0.0.1", 50_000)) as client:
        read_all(client, house)
        yield client


def read_all(client: TestClient, house: House) -> None:
    """Read all journals to their end: in the event loop, where the application reads them too."""

    async def read() -> None:
        house.runs.scan()
        while not house.runs.advance():
            pass

    assert client.portal is not None
    client.portal.call(read)


def people(house: House) -> None:
    """Add one user of each role, named after it."""
    for role in Role:
        if house.users.get(role.value) is None:
            house.users.add(role.value, PASSWORD, QUICK.hash(PASSWORD), role)


def logged_in(client: TestClient, house: House, name: str) -> TestClient:
    """Log somebody in with a client of their own."""
    people(house)
    own = TestClient(client.app, ORIGIN, client=("127.0.0.1", 50_000))
    own.portal = client.portal  # the same event loop
    answer = own.post("/api/v1/session", json={"name": name, "password": PASSWORD}, headers=CHANGE)
    assert answer.status_code == 201, answer.text
    return own
