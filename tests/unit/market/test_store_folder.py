import os
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.store import Spans, Tables, open_tables
from abidance.market.store.spans import complement, union
from abidance.model.errors import DataError
from abidance.testing.store_spec import TRADES, StoreSpec, some_trades


@pytest.fixture
def store(tmp_path: Path) -> Tables:
    return open_tables(tmp_path / "store")


class TestFolder(StoreSpec):
    pass


class Killed(BaseException):
    """What a kill is to the code it ends: nothing that it could catch."""


def _kill(*_: object, **__: object) -> NoReturn:
    raise Killed


def test_a_compaction_killed_before_its_pieces_are_gone_counts_nothing_twice(
    store: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        store.append(TRADES, some_trades((number, 1.0, f"{number}")))
    before = store.tape(TRADES)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", _kill)
        with pytest.raises(Killed):
            store.compact(TRADES)

    pieces = list(Path(store.where).rglob("*+*.parquet"))
    assert len(pieces) == 4
    assert store.tape(TRADES).equals(before)
    assert store.sql("select count(*) as n from trades")["n"].to_list() == [4]
    store.append(TRADES, some_trades((9, 1.0, "9"), (2, 1.0, "2")))
    assert store.tape(TRADES)["id"].to_list() == ["0", "1", "2", "3", "9"]
    store.compact(TRADES)
    assert not list(Path(store.where).rglob("*+*.parquet"))
    assert store.tape(TRADES)["id"].to_list() == ["0", "1", "2", "3", "9"]


def test_an_append_killed_before_the_rename_leaves_what_was_there(
    store: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(TRADES, some_trades((1, 1.0, "1")))
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", _kill)
        with pytest.raises(Killed):
            store.append(TRADES, some_trades((2, 1.0, "2")))

    assert store.tape(TRADES)["id"].to_list() == ["1"]
    store.append(TRADES, some_trades((2, 1.0, "2")))
    assert store.tape(TRADES)["id"].to_list() == ["1", "2"]
    assert not list(Path(store.where).rglob("*.writing"))


@pytest.mark.parametrize("name", ["2024-01.parquet", "2024-01+000001.parquet"])
def test_a_damaged_tape_is_named(store: Tables, name: str) -> None:
    store.append(TRADES, some_trades((1, 1.0, "1")))
    (piece,) = Path(store.where).rglob("*.parquet")
    piece.with_name(name).write_bytes(b"PAR1 and then nothing")

    with pytest.raises(DataError, match="cannot be read"):
        store.tape(TRADES)


def test_spans_that_cannot_be_read_are_named(store: Tables) -> None:
    store.note(TRADES, Spans(((1, 2),)))
    (path,) = Path(store.where).rglob("spans.json")
    path.write_text('{"whole": 7')

    with pytest.raises(DataError, match=r"spans\.json cannot be read"):
        store.spans(TRADES)


stretches = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


@given(stretches, st.integers(0, 40), st.integers(0, 40))
def test_what_is_missing_is_what_no_stretch_covers(
    known: list[tuple[int, int]], start: int, end: int
) -> None:
    missing = complement(known, start, end)

    covered = {at for low, high in known for at in range(low, high)}
    assert {at for low, high in missing for at in range(low, high)} == set(range(start, end)) - covered
    assert all(high < later for (_, high), (later, _) in pairwise(missing))


@given(stretches)
def test_a_union_holds_the_same_times_in_stretches_that_are_apart(known: list[tuple[int, int]]) -> None:
    joined = union(known)

    assert {at for low, high in joined for at in range(low, high)} == {
        at for low, high in known for at in range(low, high)
    }
    assert all(high < later for (_, high), (later, _) in pairwise(joined))
