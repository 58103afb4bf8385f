"""One account, one process, one record: what is refused before anything could be sent."""

import os
import sys
from pathlib import Path
from typing import Literal

import pytest

from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.errors import JournalError
from abidance.run.bot import JOURNAL
from abidance.run.golive import ACCOUNTS, Ready, alone, bind
from abidance.security.keys import ExchangeKey
from abidance.security.permissions import Verdict
from abidance.security.secret import Secret

URL = f"http://127.0.0.1/{os.getpid()}"
"""Other processes test the same: each has an exchange of its own."""


def ready(
    account: str = "main", key: str = "a-key", venue: str = "BINANCE", number: str = ""
) -> dict[str, Ready]:
    none = Secret("")
    return {venue: Ready(ExchangeKey(venue, account, Secret(key), none, none, 0), Verdict(), URL, number)}


@pytest.mark.parametrize("second", [ready(), ready("other"), ready(key="rotated")])
def test_an_account_is_for_one_process_under_whatever_name(tmp_path: Path, second: dict[str, Ready]) -> None:
    with (
        alone(tmp_path, ready()),
        pytest.raises(JournalError, match=r"Another process .* trades on the account BINANCE"),
        alone(tmp_path, second),
    ):
        raise AssertionError("both hold the account")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sockets that are a name and no file")
def test_one_key_is_for_one_process_of_the_machine_whatever_its_user_directory(tmp_path: Path) -> None:
    with (
        alone(tmp_path / "one", ready()),
        pytest.raises(JournalError, match=r"of another user directory\) trades on the account BINANCE other"),
        alone(tmp_path / "two", ready("other")),
    ):
        raise AssertionError("both hold the account")

    with alone(tmp_path / "two", ready("other")), alone(tmp_path / "three", ready(venue="KRAKEN")):
        pass


def test_two_accounts_are_for_two_processes_and_one_that_is_let_go_is_free(tmp_path: Path) -> None:
    with alone(tmp_path, ready()), alone(tmp_path, ready("other", "other-key")):
        pass

    with alone(tmp_path, ready()):
        held = sorted(path.name for path in (tmp_path / "locks").iterdir())

    assert "BINANCE-main.lock" in held
    assert not any("a-key" in name for name in held)


def test_two_keys_of_one_account_are_for_one_process(tmp_path: Path) -> None:
    with (
        alone(tmp_path / "one", ready(number="7")),
        pytest.raises(JournalError, match=r"Another process .* trades on the account BINANCE other"),
        alone(tmp_path / "one", ready("other", "other-key", number="7")),
    ):
        raise AssertionError("both hold the account")

    with alone(tmp_path, ready(number="7")), alone(tmp_path, ready("other", "other-key", number="8")):
        pass


def test_one_account_is_for_one_process_by_whatever_public_address(tmp_path: Path) -> None:
    def at(url: str, account: str) -> dict[str, Ready]:
        return {venue: each._replace(url=url) for venue, each in ready(account, f"key {URL}").items()}

    with (
        alone(tmp_path / "one", at("", "main")),
        pytest.raises(JournalError, match=r"Another process .* trades on the account BINANCE other"),
        alone(tmp_path / "two", at("https://api.binance.com", "other")),
    ):
        raise AssertionError("both hold the account")

    with alone(tmp_path / "one", at("", "main")), alone(tmp_path / "two", at(URL, "other")):
        pass


def begun(folder: Path, accounts: dict[str, Ready], mode: Literal["live", "paper"] = "live") -> None:
    bind(folder, accounts)
    header = RunHeader("r", "bot", mode, 0, "1.0", "c" * 64, {}, ())
    FileJournal(folder / JOURNAL, header).close()


@pytest.mark.parametrize("others", [ready("second"), ready() | ready(venue="KRAKEN"), ready(venue="KRAKEN")])
def test_a_record_of_one_account_is_not_gone_on_with_on_another(
    tmp_path: Path, others: dict[str, Ready]
) -> None:
    begun(tmp_path, ready())

    with pytest.raises(JournalError, match="is of the account BINANCE main, and not of"):
        bind(tmp_path, others)

    assert (tmp_path / ACCOUNTS).read_text() == "BINANCE main\n"


def test_a_record_goes_on_with_its_account_and_with_a_new_key_of_it(tmp_path: Path) -> None:
    begun(tmp_path / "bot", ready())

    bind(tmp_path / "bot", ready(key="rotated"))

    assert (tmp_path / "bot" / ACCOUNTS).read_text() == "BINANCE main\n"


def test_what_never_began_binds_nothing(tmp_path: Path) -> None:
    bind(tmp_path, ready())

    bind(tmp_path, ready("second"))

    assert (tmp_path / ACCOUNTS).read_text() == "BINANCE second\n"


@pytest.mark.parametrize("key", ["a-key", "rotated"])
def test_another_accounts_key_under_the_same_name_is_another_account(tmp_path: Path, key: str) -> None:
    begun(tmp_path, ready(number="354937868"))

    with pytest.raises(
        JournalError,
        match=r"is of account 354937868 at BINANCE; the key of BINANCE main opens account 111222333\.",
    ):
        bind(tmp_path, ready(key=key, number="111222333"))

    assert (tmp_path / ACCOUNTS).read_text() == "BINANCE main\t354937868\n"


def test_a_venue_that_tells_no_longer_whose_the_key_is_is_not_believed(tmp_path: Path) -> None:
    begun(tmp_path, ready(number="354937868"))

    with pytest.raises(JournalError, match="which did not tell whose the key is"):
        bind(tmp_path, ready())

    bind(tmp_path, ready(key="rotated", number="354937868"))


def test_a_record_that_knows_a_name_alone_takes_the_number_over(tmp_path: Path) -> None:
    begun(tmp_path, ready())

    bind(tmp_path, ready(number="354937868"))

    assert (tmp_path / ACCOUNTS).read_text() == "BINANCE main\t354937868\n"


def test_a_record_of_real_orders_without_its_accounts_is_not_gone_on_with(tmp_path: Path) -> None:
    begun(tmp_path, ready(number="354937868"))
    (tmp_path / ACCOUNTS).unlink()

    with pytest.raises(JournalError, match="nothing says of which account: accounts is gone"):
        bind(tmp_path, ready(number="354937868"))

    assert not (tmp_path / ACCOUNTS).exists()


def test_a_record_on_paper_is_bound_to_no_account(tmp_path: Path) -> None:
    begun(tmp_path, {}, "paper")
    (tmp_path / ACCOUNTS).unlink()

    bind(tmp_path, ready())  # that it is on paper is told when it is opened

    assert not (tmp_path / ACCOUNTS).exists()
