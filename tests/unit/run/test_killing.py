"""The kill switch where disks and bots are not well: no room, no writing, a bot that stands still, none at all."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abidance.model.errors import AbidanceError
from abidance.model.event import Control, ControlAction
from abidance.run import killing
from abidance.run.door import DOOR, Door, NotRunningError, heed
from abidance.run.killing import Extent, killed
from abidance.run.switch import Switch


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    killing.forget(tmp_path)


@contextmanager
def full(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no file be written any more; what is there can still be renamed, as on a disk without room."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with patch.context() as within:
        within.setattr(os, "write", refuse)
        yield


@contextmanager
def running(folder: Path, switch: Switch, *, is_stuck: bool = False) -> Iterator[None]:
    """Keep a bot's door open; its loop looks at the switch all the time, or stands still."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(0.005):
            switch.look(0)

    looking = threading.Thread(target=loop)
    door = Door(folder, switch=switch)
    if not is_stuck:
        looking.start()
    try:
        yield
    finally:
        over.set()
        door.close()
        if not is_stuck:
            looking.join()


@pytest.mark.parametrize("extent", list(Extent))
def test_a_disk_without_room_takes_the_switch_as_far_as_it_is_thrown(
    folder: Path, extent: Extent, monkeypatch: pytest.MonkeyPatch
) -> None:
    Switch(folder)

    with full(monkeypatch):
        is_new, again = killing.kill(folder, "ada", extent), killing.kill(folder, "ada", extent)

    assert (is_new, again) == (True, False)
    assert killed(folder) is extent
    assert Switch(folder).look(1) is not None  # and so it is over a restart


def test_a_switch_that_was_released_can_be_thrown_on_a_full_disk_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Switch(folder)
    with full(monkeypatch):
        killing.kill(folder, "ada", Extent.ALL)
    killing.release(folder)

    with full(monkeypatch):
        killing.kill(folder, "ada", Extent.ALL)

    assert killed(folder) is Extent.ALL


def test_a_bot_that_is_told_keeps_to_it_though_the_disk_takes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = Switch(folder)
    for spare in (folder / ".kill").iterdir():
        spare.unlink()

    with full(monkeypatch), running(folder, switch):
        with pytest.raises(OSError, match="No space"):
            killing.kill(folder, "ada", Extent.FLATTEN)
        answer = heed(folder, Extent.FLATTEN, is_unwritten=True)

    assert answer.error == ""
    assert switch.extent is Extent.FLATTEN
    assert killed(folder) is Extent.FLATTEN


def test_a_bot_that_was_told_is_released_as_any_other(folder: Path) -> None:
    switch = Switch(folder)
    killing.tell(folder, Extent.ALL)
    thrown = switch.look(1)

    switch.recall(
        Control(0, ControlAction.RELEASE, actor="ada")
    )  # of the record: older than what it was told
    still = killed(folder)
    switch.released()

    assert still is Extent.ALL
    assert thrown is not None
    assert (switch.extent, killed(folder), switch.look(3)) == (None, None, None)


def test_a_bot_that_stands_still_is_told_of_by_its_door(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abidance.run.door.PATIENCE", 0.1)
    switch = Switch(folder)
    killing.kill(folder, "ada")

    with running(folder, switch, is_stuck=True):
        answer = heed(folder, Extent.ENTRIES)

    assert answer.error == "The bot has not heeded its kill switch."
    assert f"kill -9 {os.getpid()}" in answer.remedy


def test_a_process_that_hangs_as_a_whole_is_told_of_with_its_number_after_as_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abidance.run.door.PATIENCE", -0.9)  # and a second more for the way
    killing.kill(folder, "ada")

    with socket.socket(socket.AF_UNIX) as door:  # the system takes connections for it, and nobody reads them
        door.bind(str(folder / DOOR))
        door.listen(1)
        with pytest.raises(AbidanceError, match="did not answer") as told:
            heed(folder, Extent.ENTRIES)

    assert f"kill -9 {os.getpid()}" in told.value.remedy


def test_nobody_heeds_a_switch_where_no_bot_runs(folder: Path) -> None:
    with pytest.raises(NotRunningError):
        heed(folder, Extent.ENTRIES)


def test_less_is_heeded_by_who_was_told_more(folder: Path) -> None:
    switch = Switch(folder)
    killing.kill(folder, "ada", Extent.FLATTEN)

    with running(folder, switch):
        answer = heed(folder, Extent.ENTRIES)

    assert answer.error == ""
    assert switch.extent is Extent.FLATTEN


def test_a_question_about_a_switch_that_was_released_meanwhile_throws_it_no_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abidance.run.door.PATIENCE", 0.1)
    switch = Switch(folder)
    killing.kill(folder, "ada")
    killing.release(folder)

    with running(folder, switch):
        answer = heed(folder, Extent.ENTRIES)

    assert answer.error
    assert (killed(folder), switch.extent) == (None, None)
