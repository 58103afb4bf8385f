"""No byte of a vault may be another one, and what any names and contents went in comes out."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.model.errors import ConfigError
from abidance.security.secret import Secret
from abidance.security.vault import Cost, Slot, Vault

CHEAP = Cost(memory=32, passes=1, lanes=1)
WORDS = Secret("four words are enough")
NAMES = st.text(max_size=8)


def a_vault(folder: Path) -> Path:
    vault = Vault.create(folder / "vault", WORDS, CHEAP)
    vault.write(Slot("BINANCE", "main", "trading"), b"alpha")
    vault.write(Slot("KRAKEN", "main", "trading"), b"beta")
    return vault.path


def refused(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        Vault.unlock(path, WORDS)
    except ConfigError:
        return True
    return False


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80, 0xFF])
def test_every_byte_flipped_is_refused(tmp_path: Path, flip: int) -> None:
    path = a_vault(tmp_path)
    whole = path.read_bytes()

    accepted = [
        at
        for at in range(len(whole))
        if not refused(path, whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
    ]

    assert accepted == []
    assert not refused(path, whole)


def test_a_vault_cut_anywhere_or_with_more_behind_it_is_refused(tmp_path: Path) -> None:
    path = a_vault(tmp_path)
    whole = path.read_bytes()

    accepted = [at for at in range(len(whole)) if not refused(path, whole[:at])]

    assert accepted == []
    for more in (b"\0", b"\n", whole):
        assert refused(path, whole + more)


@settings(max_examples=60, deadline=None)
@given(records=st.dictionaries(st.tuples(NAMES, NAMES, NAMES), st.binary(max_size=200), max_size=5))
def test_whatever_went_in_comes_out_under_its_own_name(
    records: dict[tuple[str, str, str], bytes],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vault"
        vault = Vault.create(path, WORDS, CHEAP)
        for name, content in records.items():
            vault.write(Slot(*name), content, new=True)

        found = Vault.unlock(path, WORDS)

        assert {tuple(slot): found.read(slot) for slot in found.slots()} == records


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=400),
    head=st.sampled_from([b"", b"abidance-vault 1\n", b"abidance-vault 1\n{}"]),
)
def test_what_is_no_vault_is_refused_in_a_sentence(content: bytes, head: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vault"
        path.touch(0o600)

        assert refused(path, head + content)
