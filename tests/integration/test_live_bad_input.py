"""`abidance trade --live` with something wrong, as typed, at a local exchange: one sentence, an exit code, no order.

Each command runs to its end in this process; the exchange answers from a thread of its own, over real sockets.
"""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from abidance.cli import golive
from abidance.cli.trade import trade
from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.kernel.clock import WallClock
from abidance.model.errors import AbidanceError
from abidance.run.bot import JOURNAL
from abidance.run.golive import ACCOUNTS, Ready, alone
from abidance.run.keys import vault_path
from abidance.run.killing import kill
from abidance.security.keys import ExchangeKey, Keys
from abidance.security.permissions import Verdict
from abidance.security.secret import Secret
from abidance.security.vault import Cost, Vault
from abidance.testing.exchange import Account, Fault, LocalExchange, Wrong, generated
from abidance.testing.exchange.accounts import Permissions
from abidance.testing.exchange.faults import Faults
from abidance.venues import identity
from tests.postgres import driver

BTC, PERP, KUCOIN = "BTC/USDT@BINANCE", "BTC/USDT:USDT@BINANCE", "BTC/USDT@KUCOIN"
DEAR = "DOGE/USDT@BINANCE"
"""At 50 USDT, where it is sold by the piece."""
WORDS = "four words are enough"
SECRETS = {
    "main": ("k-main", "s-main"),
    "poor": ("k-poor", "s-poor"),
    "hedged": ("k-hedged", "s-hedged"),
    "reading": ("k-reading", "s-reading"),
    "stranger": ("k-nobody-knows", "s-main"),
    "twin": ("k-twin", "s-twin"),
    "mistyped": ("k-main", "s-mistyped"),
}
"""Key and secret of each name in the vault: of `stranger` and `mistyped` the exchange knows nothing, and `twin` is of
main's account."""


@dataclass
class Home:
    """A vault, a configuration, an exchange that other names of keys lead to, and what the bot left."""

    userdir: Path
    exchange: LocalExchange
    accounts: dict[str, Account]
    kucoin: LocalExchange

    def types(
        self, *flags: str, bot: str = "bot", pair: str = BTC, confirm: str = "BINANCE"
    ) -> AbidanceError:
        """Type the command and return what it ended with."""
        config = self.userdir / f"{bot}.toml"
        config.write_text(
            f'name = "{bot}"\ninstruments = ["{pair}"]\ntimeframe = "1m"\n\n[[strategies]]\nstrategy = "EmaCross"\n\n'
            f'[feed.addresses.BINANCE]\nrest_url = "{self.exchange.rest_url}"\nstream_url = "{self.exchange.stream_url}"\n'
            f'[feed.addresses.KUCOIN]\nrest_url = "{self.kucoin.rest_url}"\nstream_url = "{self.kucoin.stream_url}"\n'
        )
        app = typer.Typer()
        app.command()(trade)
        typed = [
            "--live",
            "-c",
            str(config),
            "--userdir",
            str(self.userdir),
            "--confirm",
            confirm,
            "--plain",
            *flags,
        ]
        result = CliRunner().invoke(app, typed)
        assert isinstance(result.exception, AbidanceError), result.output
        return result.exception

    def orders(self) -> int:
        return len(self.exchange.desk.orders) + len(self.kucoin.desk.orders)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    userdir = tmp_path_factory.mktemp("home") / "abidance"
    vault = Keys(Vault.create(vault_path(userdir), Secret(WORDS), Cost(32, 1, 1)))
    for name, (key, secret) in SECRETS.items():
        vault.add(ExchangeKey("BINANCE", name, Secret(key), Secret(secret), Secret(""), 1))
    none, phrase = Secret(""), Secret("another-phrase")
    vault.add(ExchangeKey("KUCOIN", "mistyped", Secret("k-kucoin"), Secret("s-kucoin"), phrase, 1))
    vault.add(ExchangeKey("KUCOIN", "main", Secret("k-kucoin"), Secret("s-kucoin"), none, 1))
    accounts = {name: Account(*SECRETS[name]) for name in ("main", "poor", "hedged", "reading")}
    accounts["twin"] = Account(*SECRETS["twin"], number=accounts["main"].number)
    accounts["hedged"].is_hedged = True
    accounts["reading"].permissions = Permissions(trade=False)
    clock = WallClock()
    markets = [generated(id, 3, clock.now(), past_seconds=3_600) for id in (BTC, PERP)]
    markets.append(generated(DEAR, 3, clock.now(), past_seconds=3_600, price=50.0))
    exchange = LocalExchange(markets, start=clock.now(), clock=clock, accounts=list(accounts.values()))
    phrased = Account("k-kucoin", "s-kucoin", "its-phrase")
    kucoin = LocalExchange(
        [generated(KUCOIN, 3, clock.now(), past_seconds=3_600)],
        start=clock.now(), clock=clock, accounts=[phrased],
    )  # fmt: skip
    kucoin.desk.transfer(phrased, "USDT", Decimal(20_000), kucoin.now)
    for name in ("main", "hedged", "reading"):
        exchange.desk.transfer(accounts[name], "USDT", Decimal(20_000), exchange.now)
    loop, is_up = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        async with exchange, kucoin:
            is_up.set()
            await over.wait()

    over = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert is_up.wait(20)
    yield Home(userdir, exchange, accounts, kucoin)
    loop.call_soon_threadsafe(over.set)
    thread.join(20)
    loop.close()


@pytest.fixture(autouse=True)
def _unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABIDANCE_PASSPHRASE", WORDS)
    monkeypatch.setenv("COLUMNS", "200")


CASES: dict[str, tuple[tuple[str, ...], dict[str, str], str, int]] = {
    "another venue's name typed back": ((), {"confirm": "KRAKEN"}, "Trading at BINANCE was not confirmed", 2),
    "a venue's name mistyped": ((), {"confirm": "BINANC"}, "Trading at BINANCE was not confirmed", 2),
    "no such name in the vault": (
        ("--account", "nobody"),
        {},
        "There is no key of BINANCE nobody in the vault.",
        3,
    ),
    "a key that nobody knows": (
        ("--account", "stranger"),
        {},
        "BINANCE refuses the key: it does not exist",
        3,
    ),
    "a secret of another key": (("--account", "mistyped"), {}, "the secret does not belong to it", 3),
    "a key that may not trade": (
        ("--account", "reading"),
        {},
        "The key of BINANCE reading may not trade.",
        3,
    ),
    "a key that may not use the margin account": (
        ("--set", "spot_wallets.BINANCE=cross_margin"),
        {},
        "The key of BINANCE main may not use the margin account.",
        3,
    ),
    "an account without money": (("--account", "poor"), {}, "There is no USDT to trade with at BINANCE.", 3),
    "less money than the smallest order": (
        ("--dry-run-wallet", "3"),
        {},
        "3 USDT may be used at BINANCE, and the smallest order there is worth 5 USDT (in BTC/USDT@BINANCE).",
        3,
    ),
    "less money than the smallest quantity costs": (
        ("--dry-run-wallet", "30"),
        {"pair": DEAR},
        "30 USDT may be used at BINANCE, and the smallest order there is worth",
        3,
    ),
    "a database of leases that is not there": (
        ("--set", "lease=postgresql://me:hunter22@127.0.0.1:9/leases"),
        {},
        "The database of leases postgresql://me:***@127.0.0.1:9/leases cannot be used",
        4,
    ),
    "a wrong passphrase of the key": (
        ("--account", "mistyped"),
        {"pair": KUCOIN, "confirm": "KUCOIN"},
        "KUCOIN knows the key, and its passphrase is another one.",
        3,
    ),
    "no passphrase of the key": ((), {"pair": KUCOIN, "confirm": "KUCOIN"}, "passphrase", 3),
    "an instrument that nobody has": ((), {"pair": "NOPE/USDT@BINANCE"}, "BINANCE has no NOPE/USDT.", 2),
    "a record that is on the disk when the system likes": (
        ("--set", "journal_sync=never"),
        {},
        'No real order leaves with journal_sync = "never".',
        3,
    ),
    "a record that every event waits for": (
        ("--set", "journal_sync=always"),
        {},
        'No real order leaves with journal_sync = "always".',
        3,
    ),
    "an account in hedge mode": (("--account", "hedged"), {"pair": PERP}, "hedge mode", 3),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_in_a_sentence_and_nothing_is_sent(home: Home, case: str) -> None:
    flags, given, sentence, code = CASES[case]
    if "database" in case:
        driver()
    bot = hashlib.sha256(case.encode()).hexdigest()[:8]

    error = home.types(*flags, bot=bot, **given)

    assert sentence in error.found
    assert error.remedy
    assert error.exit_code == code
    assert not (home.userdir / "runs" / bot / JOURNAL).exists()
    assert not home.orders()


def test_a_wrong_passphrase_is_told_and_nothing_is_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABIDANCE_PASSPHRASE", "four other words here")

    error = home.types()

    assert "passphrase" in error.found
    assert error.exit_code == 3
    assert not home.orders()


def held(home: Home, key: str, number: str) -> dict[str, Ready]:
    none = Secret("")
    named = ExchangeKey("BINANCE", "elsewhere", Secret(key), none, none, 0)
    return {"BINANCE": Ready(named, Verdict(), home.exchange.rest_url, number)}


@pytest.mark.parametrize("key", ["k-main", "another-key-of-the-account"])
def test_a_second_bot_on_one_account_is_told_and_sends_nothing(home: Home, tmp_path: Path, key: str) -> None:
    number = str(home.accounts["main"].number)

    with alone(home.userdir, held(home, key, number)):
        error = home.types(bot="second")

    assert "trades on the account BINANCE main" in error.found
    assert error.exit_code == 6
    assert not home.orders()


STUMBLES = [Wrong.ERROR, Wrong.PAGE, Wrong.LIMIT]
NUMBER = "/api/v3/account"
"""Where Binance is asked for its number of the account."""


@pytest.fixture
def stumbling(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setattr(identity, "PAUSE", 0.01)
    yield home.exchange.faults
    home.exchange.faults.clear()


@pytest.mark.parametrize("what", STUMBLES)
def test_a_second_bot_with_another_key_is_found_out_though_the_venue_stumbles_over_the_number(
    home: Home, stumbling: Faults, what: Wrong
) -> None:
    fault = stumbling.add(Fault(what, NUMBER))

    with alone(home.userdir, held(home, "k-main", str(home.accounts["main"].number))):
        error = home.types("--account", "twin", bot="second")

    assert fault.hits == 1
    assert "trades on the account BINANCE twin" in error.found
    assert not home.orders()


@pytest.mark.parametrize("what", STUMBLES)
def test_no_bot_begins_on_an_account_whose_number_its_venue_does_not_tell(
    home: Home, stumbling: Faults, what: Wrong
) -> None:
    stumbling.add(Fault(what, NUMBER, times=0))

    error = home.types(bot="unnumbered")

    assert "BINANCE did not tell which account the key opens" in error.found
    assert error.exit_code == 8
    assert not (home.userdir / "runs" / "unnumbered" / ACCOUNTS).exists()
    assert not home.orders()


def test_a_record_of_another_account_is_told_and_nothing_is_sent(home: Home) -> None:
    folder = home.userdir / "runs" / "moved"
    folder.mkdir(parents=True)
    (folder / ACCOUNTS).write_text("BINANCE main\t111222333\n")
    FileJournal(folder / JOURNAL, RunHeader("r", "moved", "live", 0, "1.0", "c" * 64, {}, ())).close()
    before = (folder / JOURNAL).read_bytes()

    other = home.types(bot="moved")
    (folder / ACCOUNTS).unlink()
    unbound = home.types(bot="moved")

    mine = home.accounts["main"].number
    assert f"is of account 111222333 at BINANCE; the key of BINANCE main opens account {mine}" in other.found
    assert "nothing says of which account" in unbound.found
    assert (other.exit_code, unbound.exit_code) == (6, 6)
    assert (folder / JOURNAL).read_bytes() == before
    assert not home.orders()


@pytest.mark.parametrize(
    ("is_killed", "confirm", "found"),
    [
        (False, "KRAKEN", "Trading at BINANCE was not confirmed"),
        (True, "BINANCE", "The kill switch of kept is thrown."),
    ],
)
def test_a_record_is_set_aside_only_for_a_start_that_is_confirmed_and_released(
    home: Home, is_killed: bool, confirm: str, found: str
) -> None:
    record = home.userdir / "runs" / "kept" / JOURNAL
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(b"what protects positions")
    if is_killed:
        kill(record.parent, "tester")

    error = home.types("--fresh", bot="kept", confirm=confirm)

    assert found in str(error)
    assert record.read_bytes() == b"what protects positions"
    assert home.orders() == 0


def test_a_switch_that_is_thrown_while_a_person_is_asked_keeps_the_record_where_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = home.userdir / "runs" / "asked" / JOURNAL
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(b"what protects positions")
    confirmed = golive.confirmed

    def asked(*given: Any) -> None:
        confirmed(*given)
        kill(record.parent, "somebody else")

    monkeypatch.setattr(golive, "confirmed", asked)
    error = home.types("--fresh", bot="asked")

    assert "The kill switch of asked is thrown." in str(error)
    assert record.read_bytes() == b"what protects positions"
    assert [each.name for each in record.parents[1].glob("asked*")] == ["asked"]
    assert home.orders() == 0
