"""Whatever is done to the audit log behind its back, `verify` finds it."""

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abidance.model.errors import AbidanceError
from abidance.security.audit import Audit

LINES = 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    audit = Audit(tmp_path_factory.mktemp("audit") / "audit.log", lambda: 1_700_000_000.0)
    for number in range(LINES):
        audit.write(
            f"user{number % 3}", "control.kill", "bot", {"n": number, "text": "é\n"}, address="127.0.0.1"
        )
    return audit


def test_an_untouched_log_is_whole(whole: Audit) -> None:
    found = whole.verify()

    assert (found.lines, found.problem) == (LINES, "")


@st.composite
def tampered(draw: st.DrawFn, raw: bytes) -> bytes:
    """Return the log with a byte changed, a line taken out, doubled, moved, altered, or its end cut off."""
    lines = raw.splitlines(keepends=True)
    kind = draw(
        st.sampled_from(["byte", "insert", "delete", "drop", "double", "swap", "cut", "alter", "truncate"])
    )
    at = draw(st.integers(0, len(raw) - 1))
    one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
    if kind == "byte":
        return raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
    if kind == "insert":
        return raw[:at] + draw(st.binary(min_size=1, max_size=5)) + raw[at:]
    if kind == "delete":
        return raw[:at] + raw[at + draw(st.integers(1, 300)) :]
    if kind == "truncate":
        return raw[:at]
    if kind == "drop":
        del lines[one]
    elif kind == "double":
        lines.insert(other, lines[one])
    elif kind == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == "cut":
        lines = lines[:one]
    else:
        line = json.loads(lines[one])
        line[draw(st.sampled_from(sorted(line)))] = draw(st.sampled_from(["eve", 7, None, {}]))
        lines[one] = json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return b"".join(lines)


@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_edit_deletion_swap_and_truncation_is_found(
    whole: Audit, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = whole.path.read_bytes()
    changed = data.draw(tampered(raw))
    copy = Audit(tmp_path_factory.getbasetemp() / "tampered.log")
    copy.path.write_bytes(changed)
    copy.path.with_name("tampered.log.head").write_bytes(whole.path.with_name("audit.log.head").read_bytes())

    assert bool(copy.verify().problem) == (changed != raw)


def test_a_log_whose_file_is_gone_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.log")
    audit.write("ada", "login")

    audit.path.unlink()

    assert "The log ends at line 0" in audit.verify().problem


def test_nothing_is_appended_to_a_log_whose_last_line_is_half_written(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.log")
    audit.write("ada", "login")
    audit.path.write_bytes(audit.path.read_bytes()[:-10])

    with pytest.raises(AbidanceError, match="Nothing was done"):
        audit.write("ada", "login")


def _write(path: str, name: str) -> None:
    for _ in range(20):
        Audit(Path(path)).write(name, "login")


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "audit.log"
    writers = [context.Process(target=_write, args=(str(path), name)) for name in ("one", "two", "three")]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert Audit(path).verify()[::2] == (60, "")
