"""The quality ledger of a stored series: what each of its files was found to hold, and what was put in by repairs.

    <folder>/BINANCE/BTC-USDT/bars/1h/quality.json

A file is known by its content, so that an entry about bytes that have changed since is seen to be old. What is judged,
and how, is `quality`'s and `findings`' business; deleting a ledger loses no data but the marks of repairs.
"""

import hashlib
import os
from pathlib import Path

import msgspec
import numpy as np

from abidance.market.bars import Bars
from abidance.market.findings import Finding, findings
from abidance.market.quality import Grade, inspect_bars
from abidance.market.repair import Mark
from abidance.model.errors import DataError

NAME = "quality.json"


class Entry(msgspec.Struct, frozen=True):
    """What one file held when it was checked at `ts` (ns UTC); `digest` is the SHA-256 of its bytes."""

    digest: str
    ts: int
    rows: int
    missing: int
    grade: Grade
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


class Ledger(msgspec.Struct, frozen=True):
    """The entries by the name of the file, and the marks of everything that repairs have put in."""

    files: dict[str, Entry] = {}
    marks: tuple[Mark, ...] = ()

    def is_current(self, file: Path) -> bool:
        """Say whether the entry of a file speaks of the bytes that it holds now."""
        entry = self.files.get(file.name)
        return entry is not None and entry.digest == digest(file)

    def marked(self, *marks: Mark) -> "Ledger":
        """Return the ledger with more marks, each once, in the order of time."""
        return msgspec.structs.replace(self, marks=tuple(sorted({*self.marks, *marks}, key=lambda m: m.ts)))


def load(folder: Path) -> Ledger:
    """Return the ledger of a series' folder, an empty one when there is none. Raises DataError when it is broken."""
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger()
    except (msgspec.DecodeError, OSError) as error:
        raise DataError(
            f"{path} is not a readable quality ledger: {error}.", "Delete it: it is written anew."
        ) from error


def save(folder: Path, ledger: Ledger) -> None:
    """Write the ledger whole or not at all. Raises DataError when the disk refuses it."""
    path = folder / NAME
    staged = path.with_name(f".{NAME}.writing")
    try:
        with staged.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(ledger), indent=1))
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise DataError(
            f"{path} cannot be written: {error.strerror}.", "Check the disk and its permissions."
        ) from error


def review(folder: Path, bars: Bars, now: int) -> Ledger:
    """Bring the ledger of a stored series up to date with its files, save it and return it."""
    before = load(folder)
    months = bars.ts.astype("datetime64[ns]").astype("datetime64[M]")
    files = {}
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet")):
        month = np.datetime64(path.stem, "M")
        start, stop = np.searchsorted(months, [month, month + 1])
        files[path] = bars.slice(int(start), int(stop))
    ledger = examined(before, files, now)
    if ledger != before:
        save(folder, ledger)
    return ledger


def examined(ledger: Ledger, files: dict[Path, Bars], now: int) -> Ledger:
    """Return the ledger with an entry for each of `files` (each with the bars it holds); others are forgotten.

    What was examined before and has not changed is kept as it is.
    """
    entries = {}
    for path, bars in files.items():
        kept = ledger.files.get(path.name)
        current = digest(path)
        if kept is not None and kept.digest == current:
            entries[path.name] = kept
            continue
        report = inspect_bars(bars)
        entries[path.name] = Entry(
            current, now, report.rows, report.missing, report.grade, report.reasons, tuple(findings(bars))
        )
    return msgspec.structs.replace(ledger, files=entries)


def digest(file: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
