"""One account, one process, one record: what is refused before anything could be sent."""

import os
import sys
from pathlib import Path

import pytest

from abidance.model.errors import JournalError
from abidance.run.bot import JOURNAL
from abidance.run.golive import ACCOUNTS, Ready, alone, bind
from abidance.security.keys import ExchangeKey
from abidance.security.permissions import Verdict
from abidance.security.secret import Secret

URL = f"http://127.0.0.1/{os.getpid()}"
"""Other processes test the same: each has an exchange of its own."""


def ready(account: str = "main", key: str = "a-key", venue: str = "BINANCE") -> dict[str, Ready]:
    none = Secret("")
    return {venue: Ready(ExchangeKey(venue, account, Secret(key), none, none, 0), Verdict(), URL)}


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


def begun(folder: Path, accounts: dict[str, Ready]) -> None:
    bind(folder, accounts)
    (folder / JOURNAL).write_bytes(b"a record")


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
