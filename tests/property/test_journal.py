import contextlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.journal.record import RunHeader, opening
from abidance.journal.replay import replay
from abidance.journal.store import FileJournal, read
from abidance.model.errors import JournalError
from abidance.model.event import (
    BalanceChanged,
    BookSnapshot,
    Control,
    ControlAction,
    Event,
    OrderRejected,
    Timer,
)
from abidance.model.instrument import Instrument
from abidance.model.market import Bar, BarSlice, Trade

BTC = Instrument("BTC/USDT@BINANCE", Decimal("0.01"), Decimal("0.001"), Decimal("0.001"), Decimal(5))
HEADER = RunHeader("r", "bot", "paper", 1, "0.1.0", "hash", {}, (BTC,))
START = len(opening(HEADER)[0])

moments = st.integers(0, 2**62)
texts = st.text(max_size=30)
floats = st.floats(allow_nan=False)
bars = st.builds(
    Bar, st.sampled_from([BTC.id, "X/Y@Z"]), st.sampled_from(["1h", "1m"]), moments, *[floats] * 5
)
levels = st.lists(st.tuples(floats, floats), max_size=5).map(tuple)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(BarSlice, moments, st.lists(bars, max_size=4).map(tuple)),
    st.builds(
        lambda hour, rows: BarSlice(
            hour * 3_600_000_000_000,
            tuple(Bar(BTC.id, "1h", (hour - 1) * 3_600_000_000_000, *row) for row in rows),
        ),
        st.integers(1, 10**6),
        st.lists(st.tuples(*[floats] * 5), max_size=3),
    ),
    st.builds(Trade, moments, texts, floats, floats, st.booleans(), texts),
    st.builds(BookSnapshot, moments, texts, levels, levels),
    st.builds(OrderRejected, moments, texts, texts),
    st.builds(
        BalanceChanged, moments, texts, texts, st.decimals(allow_nan=False, allow_infinity=False), texts
    ),
    st.builds(Timer, moments, texts, texts),
    st.builds(
        Control,
        moments,
        st.sampled_from(ControlAction),
        texts,
        texts,
        st.dictionaries(
            texts, st.one_of(st.booleans(), st.integers(-(2**60), 2**60), floats, texts), max_size=3
        ),
    ),
)
told = st.lists(st.tuples(events, st.booleans()), max_size=12)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name) / "bot.journal"


def write(path: Path, records: list[tuple[Event, bool]]) -> bytes:
    with FileJournal(path, HEADER, sync="never") as journal:
        for event, deferred in records:
            journal.append(event, deferred=deferred)
    return path.read_bytes()


@given(told)
def test_any_events_come_back_as_they_were(records: list[tuple[Event, bool]]) -> None:
    with folder() as path:
        write(path, records)

        found = [(record.event, record.deferred) for record in read(path).records]

    assert found == records


@given(told)
def test_a_replay_loses_and_invents_nothing(records: list[tuple[Event, bool]]) -> None:
    with folder() as path:
        write(path, records)

        found = list(replay(read(path).records))

    assert sorted(map(repr, found)) == sorted(repr(event) for event, _ in records)


@given(told, events, st.data())
def test_a_journal_cut_anywhere_opens_and_goes_on(
    records: list[tuple[Event, bool]], later: Event, data: st.DataObject
) -> None:
    with folder() as path:
        whole = write(path, records)
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        if cut < START:
            with pytest.raises(JournalError):
                FileJournal(path)
            return

        with FileJournal(path) as journal:
            kept = journal.recorded
            saved = journal.torn.saved if journal.torn else None
            both = path.read_bytes() + (saved.read_bytes() if saved else b"")
            for event, deferred in records[:kept]:
                journal.append(event, deferred=deferred)
            journal.append(later)
        found = [(record.event, record.deferred) for record in read(path).records]

    assert both == whole[:cut]
    assert found == [*records[:kept], (later, False)]


def test_every_cut_of_one_journal_keeps_every_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "bot.journal"
    sizes = [START]
    with FileJournal(path, HEADER) as journal:
        for number in range(8):
            journal.append(Timer(number, "t" * number))
            sizes.append(path.stat().st_size)
    whole = path.read_bytes()

    for cut in range(START, len(whole) + 1):
        path.write_bytes(whole[:cut])
        contents = read(path)

        assert len(list(contents.records)) == sum(size <= cut for size in sizes) - 1
        assert (contents.tail is None) == (cut in sizes)


@given(st.lists(st.tuples(events, st.booleans()), min_size=2, max_size=8), st.data())
def test_a_flipped_bit_is_never_taken_for_truth(
    records: list[tuple[Event, bool]], data: st.DataObject
) -> None:
    with folder() as path:
        before = len(write(path, records[:-1]))
        path.unlink()
        whole = bytearray(write(path, records))
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole)

        try:
            contents = read(path)
        except JournalError:
            return  # in the last record only where its number is hit: then it might be another record
        found = [(record.event, record.deferred) for record in contents.records]

    assert at >= before
    assert contents.tail is not None
    assert found == records[:-1]


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused_with_a_sentence_or_read(junk: bytes, begins_well: bool) -> None:
    with folder() as path:
        path.write_bytes((opening(HEADER)[0] if begins_well else b"") + junk)

        try:
            records = list(read(path).records)
        except JournalError as error:
            records, remedy = [], error.remedy
        else:
            remedy = ""

    assert remedy or begins_well
    assert records == []
