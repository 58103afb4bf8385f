"""The audit log read from its end, as pages are."""

from pathlib import Path

import pytest

from abidance.security import audit
from abidance.security.audit import Audit


@pytest.mark.parametrize("block", [7, 100, 1 << 16])
def test_pages_are_read_from_the_end_wherever_blocks_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    log = Audit(tmp_path / "audit.log")
    for number in range(1, 31):
        log.write("ada", "deed", data={"text": "é" * number})
    monkeypatch.setattr(audit, "_BLOCK", block)
    with log.path.open("ab") as file:
        file.write(b'{"seq":31,"cut')

    newest, before, first = log.last(3), log.last(4, before=10), log.last(9, before=3)

    assert [line.seq for line in newest] == [30, 29, 28]
    assert [line.seq for line in before] == [9, 8, 7, 6]
    assert [line.seq for line in first] == [2, 1]
    assert log.last(0) == []


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert Audit(tmp_path / "audit.log").last(5) == []
