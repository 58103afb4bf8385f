"""A bot with real orders and secrets that are easy to find: whatever goes wrong, nobody reads one anywhere.

The bot logs all that it can, its venue breaks, lies and repeats what it was sent, and the program itself fails with
secrets in its hands. Then everything is searched that was written, said or answered.
"""

import asyncio
import base64
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from abidance.journal.store import read
from abidance.kernel.clock import WallClock
from abidance.run.bot import JOURNAL, LOG
from abidance.testing.exchange import Account, Fault, LocalExchange, Wrong, generated
from abidance.testing.exchange.counter import header
from abidance.testing.exchange.house import Asked
from abidance.testing.exchange.kucoin_orders import KuCoinOrders
from abidance.venues.net.transport import Answer
from tests.e2e.program import UNHINDERED, Program
from tests.e2e.test_live_books import PATIENCE, Person
from tests.e2e.test_live_kill import STRATEGY
from tests.e2e.test_serve import client_of, serving

D = Decimal
BTC = "BTC/USDT@KUCOIN"
KEY, SECRET, PHRASE = "Kanari1aQxTqP2mZr7LwV8sY", "Zeisig2b-the-secret-of-the-account", "Zanarienvogel-99"
WORDS, TOKEN = "canarywords-one-two-three", "Stieglitz4d-token-of-the-stream"
CANARIES = [KEY, SECRET, PHRASE, WORDS, TOKEN]
REPEATED = "Invalid request that was"
MEMORY = Path("/dev/shm")
FAILING = """
import sys
from itertools import count
from pathlib import Path
from abidance.kernel import log
quiet, calls, home = log.configure, count(1), Path(sys.argv.pop(1))
log.configure = lambda path, level="info", **more: quiet(path, "debug", **more)
from abidance.run.trading import LiveTrading
from abidance.venues.trading.wire import Wire
send, turn = Wire._send, LiveTrading._turn

async def fails(self, request, leaving):
    number, told = next(calls), log.logger("test")
    if number % 10 == 0 and (home / 'shaky').exists():
        for level in ("debug", "info", "warning", "error", "critical"):
            key, secret, phrase = self.credentials
            getattr(told, level)("said", text=f"{request} {key} {secret} {phrase}", credentials=self.credentials)
        raise RuntimeError(f"a defect with {request} and {tuple(self.credentials)}")
    return await send(self, request, leaving)

def ends(self, *given):
    if (home / 'broken').exists():
        raise RuntimeError(f"the end, with {[tuple(each.credentials) for each in self._access.values()]}")
    return turn(self, *given)

Wire._send, LiveTrading._turn = fails, ends
from abidance.cli.main import main
main()
"""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


class Failing(Program):
    """The program with defects that show all they have."""

    def command(self, *typed: str) -> list[str]:
        return [sys.executable, "-c", FAILING, str(self.home), *typed]


def configured(program: Program, exchange: LocalExchange) -> list[str]:
    program.file("abidance/strategies/churn.py", STRATEGY)
    more = {"risk.limits": UNHINDERED, "risk.circuits": 'requests = "none"\norders = "none"'}
    return program.live("Churn", "KUCOIN", exchange.rest_url, exchange.stream_url, more)


def repeats(exchange: LocalExchange) -> Callable[[Asked], Answer | None]:
    """Let the exchange answer every ninth signed request by an error that repeats all that it was sent."""
    honest, count = exchange.answer, iter(range(1, 1 << 30))

    def answer(asked: Asked) -> Answer | None:
        if not header(asked.headers, "KC-API-KEY") or next(count) % 9:
            return honest(asked)
        body = asked.body.decode("utf-8", "replace")
        told = f"{REPEATED}: {dict(asked.headers)} {asked.raw_query} {body}"
        return Answer(400, {}, json.dumps({"code": "400001", "msg": told}).encode())

    return answer


_token = KuCoinOrders.token


def marked(orders: KuCoinOrders, account: Account) -> str:
    """Hand out a token that is easy to find."""
    token = _token(orders, account)
    orders._tokens[TOKEN + token[:8]] = account
    return TOKEN + token[:8]


def trouble(exchange: LocalExchange) -> None:
    """Let things go wrong on the way to the account, and on its stream."""
    for what in (Wrong.LOST, Wrong.ERROR, Wrong.PAGE, Wrong.LIMIT, Wrong.FAIL, Wrong.DEAF):
        exchange.faults.add(Fault(what, "/api/v1/hf", after=7))
    for what in (Wrong.TRUNCATE, Wrong.DISCONNECT, Wrong.DUPLICATE):
        exchange.faults.add(Fault(what, "account", after=3))
    exchange.faults.add(Fault(Wrong.REFUSE, times=2, after=4))


def everything(client: httpx2.Client) -> Iterator[tuple[str, str]]:
    """Yield what each address that can be read answers, errors included."""
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    given = {"run": "churn", "name": "Churn", "what": "journal", "id": "1", "order_id": "1"}
    asked = {"instrument": BTC, "timeframe": "1m", "names": "ema:5", "ids": "1", "ref": "1"}
    for path, deeds in paths.items():
        if "get" in deeds:
            url = re.sub(r"\{(\w+)\}", lambda found: given[found[1]], path)
            answer = client.get(url, params=asked)
            yield url, f"{answer.headers} {answer.text}"


@contextmanager
def admin(program: Program) -> Iterator[tuple[httpx2.Client, list[str]]]:
    """Serve, and yield somebody who may read all, with what nobody is to read of his."""
    with serving(program) as (address, greeting), client_of(address) as client:
        token = greeting.split("\n  ")[1].split()[0]
        wish = {"token": token, "name": "ada", "password": "Hortensie5e four words"}
        made = client.post("/api/v1/setup", json=wish)
        assert made.status_code == 201, made.text
        cookie = made.headers["set-cookie"].partition(";")[0]
        client.headers["Cookie"] = cookie
        issued = client.post("/api/v1/tokens", json={"name": "mine", "role": "viewer"})
        assert issued.status_code == 201, issued.text
        yield client, [cookie.partition("=")[2], issued.json()["secret"], "Hortensie5e", token]


def heard(client: httpx2.Client) -> Iterator[str]:
    """Yield what the stream tells of a run from its beginning, until it has nothing more to tell."""
    address = str(client.base_url).rstrip("/")
    headers = {"Cookie": client.headers["Cookie"]}
    url = address.replace("http", "ws") + "/api/v1/stream"
    with connect(url, origin=Origin(address), additional_headers=headers) as socket:
        socket.send(json.dumps({"type": "subscribe", "run": "churn", "since": 0}))
        for _ in range(50):
            try:
                yield str(socket.recv(timeout=2))
            except TimeoutError:
                return


def marks(canary: str) -> tuple[bytes, ...]:
    """Return what a secret's first letters look like, as they are and as they are often written."""
    start = canary[:8].encode()
    return (
        start,
        base64.b64encode(start)[:10],
        base64.b64encode(b"x" + start + b"x")[2:10],
        start.hex().encode(),
    )


def leaks(looked: dict[str, bytes], canaries: list[str]) -> list[str]:
    """Return where a secret can be read."""
    return [
        f"{canary[:12]} in {where}"
        for canary in canaries
        for where, text in looked.items()
        if any(mark in text for mark in marks(canary))
    ]


def files(home: Path) -> dict[str, bytes]:
    """Return all that was written, notes in memory included."""
    ours = (each for folder, name in ((home, "*"), (MEMORY, "abidance-*")) for each in folder.rglob(name))
    return {str(each): each.read_bytes() for each in ours if each.is_file()}


def levels(log: Path) -> set[str]:
    return {json.loads(line)["level"] for line in log.read_text().splitlines()}


class Somebody(Person):
    """Somebody whose words open the vault."""

    venue = "KUCOIN"

    @property
    def environ(self) -> dict[str, str]:
        return super().environ | {"ABIDANCE_PASSPHRASE": WORDS}


READ = (
    ("keys", "list", "--json"),
    ("reconcile", "churn"),
    ("loans", "list", "churn"),
    ("report", "churn"),
    ("show-config", "-c", "live.toml"),
)
"""What a person may read in a terminal meanwhile."""


def read_all(program: Program) -> tuple[dict[str, str], list[str]]:
    """Return all that can be read of a server, and what nobody is to read elsewhere."""
    with admin(program) as (client, private):
        found = dict(everything(client))
        return found | {f"stream {n}": text for n, text in enumerate(heard(client))}, private


@pytest.mark.slow
async def test_no_secret_of_a_bot_with_real_orders_is_read_anywhere_whatever_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, account, clock = Failing(tmp_path), Account(KEY, SECRET, PHRASE), WallClock()
    monkeypatch.setattr(KuCoinOrders, "token", marked)
    run = program.userdir / "runs" / "churn"
    log = run / LOG
    market = generated(BTC, 5, clock.now(), pace=40.0, past_seconds=3_600)
    async with LocalExchange([market], start=clock.now(), clock=clock, accounts=[account]) as exchange:
        exchange.desk.transfer(account, "USDT", D(20_000), exchange.now)
        person = Somebody(program, configured(program, exchange))
        given = f"{KEY}\n{SECRET}\n{PHRASE}\n".encode()
        added = await person.types("keys", "add", "KUCOIN", *person.typed, given=given)
        monkeypatch.setattr(exchange, "answer", repeats(exchange))
        async with person.trading():
            await person.until(lambda: len(exchange.desk.orders) >= 4)
            trouble(exchange)
            (tmp_path / "shaky").touch()
            await person.until(lambda: all(word in log.read_text() for word in ("a defect with", REPEATED)))
            asked = [await person.types(*each) for each in READ]
            answers, private = await asyncio.to_thread(read_all, Program(tmp_path))
            (tmp_path / "broken").touch()
            assert person.bot is not None
            code = await asyncio.wait_for(person.bot.wait(), PATIENCE)

    said, written = (tmp_path / "said.log").read_text(), files(tmp_path)
    looked = written | {f"answer of {url}": text.encode() for url, text in answers.items()}
    looked |= {f"record {each.seq}": repr(each).encode() for each in read(run / JOURNAL).records}
    looked |= {f"output {n}": f"{each.out}{each.err}".encode() for n, each in enumerate((added, *asked))}
    assert added.code == 0, added
    assert code == 1
    assert "the end, with" in said
    assert levels(log) >= {"debug", "info", "warning", "error", "critical"}
    assert REPEATED in log.read_text()
    assert len(answers) > 60
    assert leaks(looked, CANARIES) == []
    assert leaks(written, private) == []


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"\0" + PHRASE.encode() + b"\0")
    looked: dict[str, Any] = files(tmp_path) | {"said": f"the key is {KEY[:8]}…".encode()}

    assert len(leaks(looked, CANARIES)) == 2
