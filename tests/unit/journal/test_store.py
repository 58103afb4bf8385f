import os
import resource
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest

from abidance.journal import store
from abidance.journal.record import FORMAT, MAGIC, Codec, Record, RunHeader, frame, opening
from abidance.journal.store import FileJournal, is_input, read
from abidance.model.command import Cancel
from abidance.model.errors import JournalError
from abidance.model.event import (
    BalanceChanged,
    Control,
    ControlAction,
    Event,
    OrderAccepted,
    OrderFilled,
    Timer,
)
from abidance.model.instrument import Instrument
from abidance.model.market import Bar, BarSlice, Trade
from abidance.model.order import Fill, Side
from abidance.model.outcome import Decided, Notice, Recorded
from abidance.testing.simulation.disk import Disk

HOUR = 3_600_000_000_000
COINS = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LTC")
INSTRUMENTS = tuple(
    Instrument(f"{coin}/USDT@BINANCE", Decimal("0.01"), Decimal("0.001"), Decimal("0.001"), Decimal(5))
    for coin in COINS
)
HEADER = RunHeader(
    run_id="r-1",
    name="bot",
    mode="paper",
    created=7,
    code_version="0.1.0",
    config_hash="c0ffee",
    config={"currency": "USDT", "risk": {"limits": {"max_exposure": 0.5}}},
    instruments=INSTRUMENTS,
    install=3,
    order_epoch=4,
    sources={"bars": "sha256:00"},
)
FILL = Fill(
    "t1",
    "o1",
    "BTC/USDT@BINANCE",
    "ema",
    Side.BUY,
    Decimal("0.5"),
    Decimal("100.10"),
    Decimal("0.05"),
    "USDT",
    9,
)


def hour(number: int, coins: int = 7) -> BarSlice:
    bars = tuple(
        Bar(i.id, "1h", (number - 1) * HOUR, 1.5, 2.0, 0.5, 1.0 + number, 10.0) for i in INSTRUMENTS[:coins]
    )
    return BarSlice(number * HOUR, bars)


def written(path: Path, *events: Recorded) -> Path:
    with FileJournal(path, HEADER) as journal:
        for event in events:
            journal.append(event)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "bot.journal"


def test_what_is_appended_is_read_back_with_its_header(path: Path) -> None:
    events: list[Event] = [
        BalanceChanged(0, "BINANCE", "USDT", Decimal("10000.00"), "opening"),
        hour(1),
        OrderFilled(9, FILL),
        Control(10, ControlAction.SET_PARAMETERS, "ema", "me", {"fast": 3, "slow": 2.5, "on": True}),
        Timer(11, "rebalance"),
        Trade(12, "BTC/USDT@BINANCE", 1.0, 2.0, True),
    ]

    written(path, *events)

    header, records, tail = read(path)
    assert header == HEADER
    assert [record.event for record in records] == events
    assert tail is None


def test_a_slice_of_seven_bars_takes_less_than_five_hundred_bytes(path: Path) -> None:
    empty = written(path).stat().st_size

    grown = written(path.with_name("one"), hour(1)).stat().st_size

    assert grown - empty < 500


@pytest.mark.parametrize(
    "odd",
    [
        BarSlice(HOUR, ()),
        BarSlice(HOUR, (Bar("XMR/EUR@KRAKEN", "1h", 0, 1, 1, 1, 1, 1),)),
        BarSlice(HOUR, (Bar("BTC/USDT@BINANCE", "1h", 5, 1, 1, 1, 1, 1),)),
        BarSlice(HOUR, (Bar("BTC/USDT@BINANCE", "soon", 0, 1, 1, 1, 1, 1),)),
        BarSlice(HOUR, (*hour(1).bars, Bar("BTC/USDT@BINANCE", "30m", HOUR // 2, 1, 1, 1, 1, 1))),
    ],
)
def test_a_slice_that_has_no_short_form_is_kept_as_it_is(path: Path, odd: BarSlice) -> None:
    written(path, odd)

    assert [record.event for record in read(path).records] == [odd]


def test_a_restart_compares_what_is_on_record_and_then_appends(path: Path) -> None:
    with FileJournal(path, HEADER) as journal:
        journal.append(hour(1), deferred=True)
        journal.append(OrderFilled(9, FILL))

    with FileJournal(path) as journal:
        recorded = [journal.recorded]
        for record in journal.inputs():
            assert record.event is not None
            journal.append(record.event, deferred=record.deferred)
            recorded.append(journal.recorded)
        journal.append(OrderFilled(9, FILL))
        recorded.append(journal.recorded)
        journal.append(hour(2))

    assert recorded == [2, 1, 0]
    assert [(r.seq, r.deferred, r.event) for r in read(path).records] == [
        (1, True, hour(1)),
        (2, False, OrderFilled(9, FILL)),
        (3, False, hour(2)),
    ]


def test_what_a_killed_process_wrote_is_on_the_disk_before_anything_relies_on_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = FileJournal(path, HEADER, sync="never")  # nothing of it is synced
    killed.append(hour(1))
    killed.close()
    kept = list[int]()
    disk = Disk(path, Random(1))
    disk.kept = kept.append
    monkeypatch.setattr(store, "os", disk)

    with FileJournal(path, HEADER) as journal:
        relied_on = journal.synced

    assert relied_on == 1
    assert kept == [path.stat().st_size]


def test_a_power_cut_takes_what_was_written_though_another_file_was_synced(
    tmp_path: Path, path: Path
) -> None:
    with FileJournal(path, HEADER):
        pass
    disk = Disk(path, Random(1))
    mine = disk.open(path, os.O_WRONLY | os.O_APPEND)
    other = disk.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    synced = disk.synced
    disk.write(mine, b"lost")

    disk.fdatasync(other)

    assert disk.synced == synced < disk.size
    disk.close(mine)
    disk.close(other)


def test_fills_that_a_crash_kept_from_the_record_are_appended_on_the_second_run(path: Path) -> None:
    second = OrderAccepted(9, "o2")
    with FileJournal(path, HEADER) as journal:
        journal.append(hour(1), deferred=True)
        journal.append(OrderFilled(9, FILL))

    with FileJournal(path) as journal:
        for record in journal.inputs():
            assert record.event is not None
            journal.append(record.event, deferred=record.deferred)
            journal.append(OrderFilled(9, FILL))
            journal.append(second)

    assert [record.event for record in read(path).records] == [hour(1), OrderFilled(9, FILL), second]


@pytest.mark.parametrize(("event", "deferred"), [(hour(2), True), (hour(1), False), (Timer(1, "t"), True)])
def test_a_restart_that_differs_names_the_record_and_writes_nothing(
    path: Path, event: Event, deferred: bool
) -> None:
    with FileJournal(path, HEADER) as journal:
        journal.append(hour(1), deferred=True)
    before = path.read_bytes()

    with FileJournal(path) as journal, pytest.raises(JournalError, match="disagree at record 1") as caught:
        journal.append(event, deferred=deferred)

    assert "0.1.0" in caught.value.remedy
    assert path.read_bytes() == before


DECIDED = Decided(9, commands=(Cancel("o1", 9),), notices=(Notice(9, "warning", "adjusted", "words"),))
CRUMB = Notice(9, "warning", "crumb", "0.0004 of BTC/USDT@BINANCE is less than can be sold (0.001).")


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_record_from_before_a_notice_was_told_is_gone_on_with(path: Path, is_alone: bool) -> None:
    beside = Decided(9) if is_alone else DECIDED
    written(path, OrderFilled(9, FILL), *(() if is_alone else (beside,)), Timer(10, "t"))
    now = msgspec.structs.replace(beside, notices=(CRUMB, *beside.notices))

    with FileJournal(path) as journal:
        for event in (OrderFilled(9, FILL), now, Timer(10, "t")):
            journal.append(event)
        left = journal.recorded
        journal.append(OrderFilled(9, FILL))
        journal.append(now)

    assert left == 0
    events = [record.event for record in read(path).records]
    assert events[-3:] == [Timer(10, "t"), OrderFilled(9, FILL), now]
    with FileJournal(path) as journal:  # old and new in one record
        for event in (OrderFilled(9, FILL), now, Timer(10, "t"), OrderFilled(9, FILL), now):
            journal.append(event)
        assert journal.recorded == 0


@pytest.mark.parametrize(
    "now",
    [
        msgspec.structs.replace(DECIDED, commands=()),
        msgspec.structs.replace(DECIDED, notices=()),
        msgspec.structs.replace(
            DECIDED, notices=(*DECIDED.notices, Notice(9, "warning", "adjusted", "more"))
        ),
        msgspec.structs.replace(DECIDED, ts=10),
    ],
)
def test_only_the_notice_itself_may_be_missing_on_record(path: Path, now: Decided) -> None:
    written(path, OrderFilled(9, FILL), DECIDED)

    with FileJournal(path) as journal:
        journal.append(OrderFilled(9, FILL))
        with pytest.raises(JournalError, match="disagree at record 2"):
            journal.append(msgspec.structs.replace(now, notices=(CRUMB, *now.notices)))


def test_a_notice_on_record_that_is_not_told_again_is_a_difference(path: Path) -> None:
    written(path, OrderFilled(9, FILL), msgspec.structs.replace(DECIDED, notices=(CRUMB,)))

    with FileJournal(path) as journal:
        journal.append(OrderFilled(9, FILL))
        with pytest.raises(JournalError, match="disagree at record 2"):
            journal.append(msgspec.structs.replace(DECIDED, notices=()))


def test_a_bar_with_nan_equals_itself_on_a_restart(path: Path) -> None:
    gap = BarSlice(HOUR, (Bar("BTC/USDT@BINANCE", "1h", 0, *[float("nan")] * 5),))
    written(path, gap)

    with FileJournal(path) as journal:
        journal.append(gap)

        assert journal.recorded == 0


def test_inputs_are_all_but_account_events_unless_told_otherwise(path: Path) -> None:
    written(
        path,
        BalanceChanged(0, "B", "USDT", Decimal(1), "opening"),
        hour(1),
        OrderFilled(9, FILL),
        Timer(1, "t"),
    )

    with FileJournal(path) as journal:
        simulated = [record.event for record in journal.inputs()]
        live = [
            record.event for record in journal.inputs(lambda event: not isinstance(event, BalanceChanged))
        ]

    assert simulated == [hour(1), Timer(1, "t")]
    assert live == [hour(1), OrderFilled(9, FILL), Timer(1, "t")]
    assert not is_input(OrderFilled(9, FILL))


def test_inputs_end_where_the_record_ended_at_opening(path: Path) -> None:
    written(path, hour(1))

    with FileJournal(path) as journal:
        journal.append(hour(1))
        for number in range(2, 5):
            journal.append(hour(number))
        seen = list(journal.inputs())

        assert journal.seq == 4
    assert [record.seq for record in seen] == [1]


def test_a_torn_record_is_set_aside_and_reported(path: Path) -> None:
    whole = written(path, hour(1), hour(2)).read_bytes()
    sound = written(path.with_name("one"), hour(1)).stat().st_size
    path.write_bytes(whole[:-3])

    seen = read(path).tail
    with FileJournal(path) as journal:
        torn = journal.torn
        for record in journal.inputs():
            assert record.event is not None
            journal.append(record.event)
        journal.append(hour(3))

    assert seen is not None
    assert torn is not None
    assert torn[:3] == seen[:3] == (2, sound, len(whole) - 3 - sound)
    assert torn.saved == path.with_name("bot.journal.torn-2")
    assert torn.saved.read_bytes() == whole[sound:-3]
    assert [record.event for record in read(path).records] == [hour(1), hour(3)]


def test_a_second_torn_record_does_not_overwrite_the_first(path: Path) -> None:
    written(path, hour(1))

    for junk in (b"one", b"two"):
        path.write_bytes(path.read_bytes() + junk)
        FileJournal(path).close()

    assert path.with_name("bot.journal.torn-2").read_bytes() == b"one"
    assert path.with_name("bot.journal.torn-2.2").read_bytes() == b"two"


def frames(path: Path) -> tuple[bytes, list[bytes]]:
    """Split a journal by hand into its opening and its frames."""
    data = path.read_bytes()
    at = len(opening(HEADER)[0])
    start, found = data[:at], []
    while at < len(data):
        size = 8 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at : at + size])
        at += size
    return start, found


@pytest.mark.parametrize("order", [(0, 2), (1, 2), (1, 0, 2), (0, 2, 1), (0, 1, 1, 2), (0, 0, 1), (2, 1, 0)])
def test_a_record_removed_repeated_or_moved_is_found(path: Path, order: tuple[int, ...]) -> None:
    start, found = frames(written(path, hour(1), hour(2), hour(3)))
    path.write_bytes(start + b"".join(found[number] for number in order))

    with pytest.raises(JournalError, match="damaged at byte") as caught:
        read(path)

    assert f"truncate -s {len(start)}" in caught.value.remedy or order[0] == 0
    with pytest.raises(JournalError, match="damaged at byte"):
        FileJournal(path)


def test_zeros_that_a_power_cut_left_at_the_end_are_torn(path: Path) -> None:
    size = written(path, hour(1)).stat().st_size
    path.write_bytes(path.read_bytes() + bytes(10_000))

    assert read(path).tail == (2, size, 10_000, None)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"PAR1 and so on", "is not a journal"),
        (MAGIC + (FORMAT + 1).to_bytes(4, "little") + b"what", "has format 3"),
        (opening(HEADER)[0][:40], "cut off or damaged in its header"),
        (opening(HEADER)[0][:-1] + b"?", "cut off or damaged in its header"),
    ],
)
def test_a_file_that_is_no_journal_gets_one_clear_sentence(path: Path, content: bytes, sentence: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(JournalError, match=sentence) as caught:
        FileJournal(path, HEADER)

    assert caught.value.remedy
    assert path.read_bytes() == content


def test_a_journal_without_records_is_whole(path: Path) -> None:
    written(path)

    header, records, tail = read(path)

    assert (header, list(records), tail) == (HEADER, [], None)


def test_a_journal_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(JournalError, match="There is no journal"):
        read(path)
    with pytest.raises(JournalError, match="There is no journal"):
        FileJournal(path)


@pytest.mark.parametrize("change", [{"name": "other"}, {"mode": "live"}, {"config_hash": "beef"}])
def test_a_run_with_another_configuration_does_not_write_into_it(path: Path, change: dict[str, str]) -> None:
    written(path, hour(1))
    other = RunHeader(**{name: getattr(HEADER, name) for name in HEADER.__struct_fields__} | change)

    with pytest.raises(JournalError, match="belongs to a run with another"):
        FileJournal(path, other)

    FileJournal(path, HEADER).close()


def test_two_writers_of_one_journal_exclude_each_other(path: Path) -> None:
    script = "import sys; from pathlib import Path; from abidance.journal.store import FileJournal\n"
    script += "FileJournal(Path(sys.argv[1])).append"
    with FileJournal(path, HEADER):
        other = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
        )

        assert other.returncode == 1
        assert f"Another process ({os.getpid()}) is running this bot" in other.stderr
    FileJournal(path).close()


def test_a_link_to_a_journal_is_no_way_round_its_lock(path: Path) -> None:
    link = path.parent.parent / "link"
    link.symlink_to(path)

    with FileJournal(path, HEADER), pytest.raises(JournalError, match="Another process"):
        FileJournal(link)


def append_without_end(journal: FileJournal) -> None:
    while True:
        journal.append(hour(journal.seq + 1))


def test_a_full_disk_loses_nothing_and_stops_the_journal(path: Path) -> None:
    journal = FileJournal(path, HEADER)
    journal.append(hour(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, hard))
    try:
        with pytest.raises(JournalError, match="The disk is full") as caught:
            append_without_end(journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "nothing is lost" in caught.value.remedy
    with pytest.raises(JournalError, match="The disk is full"):
        journal.append(hour(9))
    journal.close()
    _, records, tail = read(path)
    assert [record.event for record in records] == [hour(number + 1) for number in range(journal.seq)]
    assert journal.seq > 1
    assert tail is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_without_room_is_a_full_disk(path: Path) -> None:
    journal = FileJournal(path, HEADER)
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), journal._fd)

    with pytest.raises(JournalError, match=r"The disk is full.*set aside then"):
        journal.append(hour(1))


def test_a_disk_that_fails_to_sync_is_not_trusted_again(path: Path) -> None:
    journal = FileJournal(path, HEADER, sync="always")
    reader, writer = os.pipe()
    os.dup2(writer, journal._fd)

    with pytest.raises(JournalError, match="cannot be written"):
        journal.append(hour(1))
    with pytest.raises(JournalError, match="cannot be written"):
        journal.append(hour(2))
    with pytest.raises(JournalError, match="cannot be written"):
        journal.sync()

    journal.close()
    os.close(reader)
    os.close(writer)


def test_a_journal_that_was_removed_takes_nothing_more(path: Path) -> None:
    with FileJournal(path, HEADER) as journal:
        journal.append(hour(1))
        path.unlink()

        with pytest.raises(JournalError, match="it has been removed"):
            journal.sync()
        with pytest.raises(JournalError, match="it has been removed"):
            journal.append(hour(2))


def test_an_interrupt_within_an_append_leaves_no_trace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def interrupted(fd: int, data: bytes) -> int:
        real(fd, data)
        raise KeyboardInterrupt

    with FileJournal(path, HEADER) as journal:
        journal.append(hour(1))
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append(hour(2))
        monkeypatch.setattr(os, "write", real)
        journal.append(Control(5, ControlAction.STOP))

    assert [record.event for record in read(path).records] == [hour(1), Control(5, ControlAction.STOP)]


def test_a_short_write_is_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    with FileJournal(path, HEADER) as journal, monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
        journal.append(hour(1))

    assert [record.event for record in read(path).records] == [hour(1)]


@pytest.mark.parametrize(("policy", "syncs"), [("always", [1, 1, 2, 2]), ("commands", [0, 1, 1, 2])])
def test_the_disk_is_asked_as_often_as_the_policy_says(
    path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, syncs: list[int]
) -> None:
    calls: list[int] = []
    journal = FileJournal(path, HEADER, sync=policy)  # type: ignore[arg-type]
    monkeypatch.setattr(os, "fdatasync", calls.append)

    seen = []
    for step in (
        lambda: journal.append(hour(1)),
        journal.sync,
        lambda: journal.append(hour(2)),
        journal.close,
    ):
        step()
        seen.append(len(calls))

    assert seen == syncs


def test_the_policy_never_does_not_wait_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)

    with FileJournal(path, HEADER, sync="never") as journal:
        journal.append(hour(1))
        journal.sync()

    assert calls == []


def test_a_closed_journal_refuses_and_may_be_closed_again(path: Path) -> None:
    journal = FileJournal(path, HEADER)
    journal.close()
    journal.close()

    with pytest.raises(JournalError, match="is closed"):
        journal.append(hour(1))


def test_a_reader_sees_a_journal_that_is_being_written(path: Path) -> None:
    with FileJournal(path, HEADER) as journal:
        journal.append(hour(1))
        contents = read(path)
        journal.append(hour(2))

        assert [record.event for record in contents.records] == [hour(1)]
        assert len(list(read(path).records)) == 2


def test_a_record_that_this_version_does_not_know_is_named(path: Path) -> None:
    with FileJournal(path, HEADER) as journal:
        journal._codec._encode = lambda wire: b"\x93\x01\xc2\x81\xa4type\xa6oracle"
        journal.append(hour(1))

    with pytest.raises(JournalError, match=r"Record 1 .* cannot be read"):
        list(read(path).records)


def test_payloads_survive_the_codec() -> None:
    codec = Codec(INSTRUMENTS)

    assert codec.decode(codec.encode(9, True, hour(1))) == Record(9, True, hour(1))


WRITER = """
import os, sys
from pathlib import Path
from abidance.journal.store import FileJournal
from abidance.model.event import Timer

with FileJournal(Path(sys.argv[1])) as journal:
    for record in journal.inputs():
        assert record.event is not None
        journal.append(record.event)
    while True:
        journal.append(Timer(journal.seq, "t" * (journal.seq % 300)))
        os.write(1, journal.seq.to_bytes(4, "little"))
"""


def test_a_process_that_is_killed_again_and_again_loses_nothing_it_acknowledged(path: Path) -> None:
    written(path)
    seen = 0

    for attempt in range(10):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        heard = writer.stdout.read(4 * (1 + 37 * attempt))
        writer.send_signal(signal.SIGKILL)
        heard += writer.stdout.read()
        writer.wait()
        writer.stdout.close()

        events = [record.event for record in read(path).records]
        acknowledged = int.from_bytes(heard[len(heard) // 4 * 4 - 4 : len(heard) // 4 * 4], "little")
        assert len(events) >= acknowledged > seen
        assert events == [Timer(number, "t" * (number % 300)) for number in range(len(events))]
        seen = len(events)


def test_a_place_that_is_no_file_is_told_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "journal.abj").mkdir()

    with pytest.raises(JournalError, match="cannot be opened"):
        FileJournal(tmp_path / "journal.abj", HEADER)


def test_an_event_that_no_reader_would_take_is_not_written(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.abj")
    before = path.read_bytes()

    with FileJournal(path) as journal, pytest.raises(JournalError, match="too long for the journal"):
        journal.append(Timer(2, "s", "x" * (1 << 24)))

    assert path.read_bytes() == before


def test_a_record_that_bears_the_number_of_another_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.abj"
    data, mark = opening(HEADER)
    framed, _ = frame(Codec(INSTRUMENTS).encode(2, False, Timer(1, "s", "first")), mark.crc)
    path.write_bytes(data + framed)

    with pytest.raises(JournalError, match="says that it is 2"):
        list(read(path).records)
