"""A result as one JSON document for other programs, and the one way a backtest writes a file: whole or not at all."""

import errno
import math
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from abidance.backtest.breakdown import metrics_of, refusals_of
from abidance.backtest.result import BacktestResult
from abidance.backtest.wording import iso_time
from abidance.journal.metrics import Metrics
from abidance.model.account import RoundTrip
from abidance.model.errors import AbidanceError
from abidance.model.order import Fill
from abidance.portfolio.ledger import fill_ref


class ExportError(AbidanceError):
    """A result could not be written; nothing half written is left behind."""


def to_json(result: BacktestResult, metrics: Metrics, benchmark_metrics: Metrics) -> bytes:
    """Return the whole result as a JSON document in UTF-8.

    Times are ISO 8601 in UTC with `Z`, figures are JSON numbers, what is undefined is null; NaN and infinity never
    occur. A round trip that is still open has neither `exit_time` nor `exit_price`.
    """
    document = {
        "metrics": metrics,
        "benchmark_metrics": benchmark_metrics,
        "round_trips": [_round_trip(trip) for trip in result.round_trips],
        "fills": [_fill(fill) for fill in result.fills],
        "equity": list(zip(_times(result), result.equity.tolist(), strict=True)),
        "config": plain(result.config),
        "data": _data(result),
        "version": result.version,
        "digest": result.digest,
        "refusals": {row.code: row.count for row in refusals_of(result)},
        "notices": [
            {
                "time": iso_time(n.ts),
                "level": n.level,
                "code": n.code,
                "text": _text(n.text),
                "strategy": _text(n.strategy),
            }
            for n in result.notices
        ],
    }
    return msgspec.json.encode(document)


def write_json(result: BacktestResult, path: Path, metrics: tuple[Metrics, Metrics] | None = None) -> Path:
    """Write the JSON document to `path` and return it; `metrics` are those of the run and its benchmark.

    Raises ExportError when the file cannot be written whole.
    """
    run, benchmark = metrics if metrics is not None else metrics_of(result)
    return write_whole(path, to_json(result, run, benchmark))


def write_whole(path: Path, content: bytes) -> Path:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part; return `path`.

    Folders are made as needed. A pipe or device is written to directly. Raises ExportError with the remedy.
    """
    try:
        target = path.expanduser().resolve()
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(content)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, content)
    except OSError as error:
        raise _export_error(path, error, len(content)) from error
    return path


def plain(value: object) -> Any:
    """Return `value` as JSON can hold it: text, numbers, lists and objects; what is neither becomes its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_text(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return _text(str(value))


def _replace(target: Path, content: bytes) -> None:
    part = target.parent / f".{os.getpid()}-{threading.get_ident()}.part"
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _export_error(path: Path, error: OSError, size: int) -> ExportError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return ExportError(
            f"There is no room for {path}: {error.strerror}.",
            f"Free at least {max(1, math.ceil(size / 1e6))} MB there, or name a file on another disk.",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return ExportError(
            f"{path} may not be written: {error.strerror}.", "Name a file in a folder of yours."
        )
    if error.errno == errno.EISDIR:
        return ExportError(
            f"{path} is a folder.", f"Name a file in it, for example {path / 'backtest.json'}."
        )
    return ExportError(f"{path} cannot be written: {error.strerror or error}.", "Name another file.")


def _times(result: BacktestResult) -> list[str]:
    """Return the slices' times as `iso_time` writes them; whole seconds, the rule, take the quick way."""
    if not (result.ts % 1_000_000_000).any():
        return list(
            np.datetime_as_string(result.ts.astype("datetime64[ns]"), unit="s", timezone="UTC").tolist()
        )
    return [iso_time(ts) for ts in result.ts.tolist()]


def _round_trip(trip: RoundTrip) -> dict[str, object]:
    row: dict[str, object] = {
        "instrument": trip.instrument,
        "strategy": _text(trip.strategy),
        "direction": str(trip.direction),
        "entry_time": iso_time(trip.ts_entry),
        "entry_price": float(trip.entry_price),
    }
    if trip.ts_exit is not None:
        row["exit_time"] = iso_time(trip.ts_exit)
        if trip.exit_price is not None:
            row["exit_price"] = float(trip.exit_price)
    return row | {
        "quantity": float(trip.quantity),
        "pnl": float(trip.pnl),
        "fees": float(trip.fees),
        "funding": float(trip.funding),
        "tags": [_text(tag) for tag in trip.tags],
        "exit_reason": _text(trip.exit_reason),
    }


def _fill(fill: Fill) -> dict[str, object]:
    return {
        "ref": fill_ref(fill),
        "id": fill.id,
        "order_id": fill.order_id,
        "time": iso_time(fill.ts),
        "instrument": fill.instrument,
        "strategy": _text(fill.strategy),
        "side": str(fill.side),
        "quantity": float(fill.quantity),
        "price": float(fill.price),
        "fee": float(fill.fee),
        "fee_asset": fill.fee_asset,
        "is_maker": fill.is_maker,
        "purpose": str(fill.purpose),
    }


def _data(result: BacktestResult) -> dict[str, object]:
    filled = [bars for bars in result.bars.values() if len(bars)]
    return {
        "fingerprint": result.fingerprint,
        "currency": result.currency,
        "instruments": list(result.bars),
        "timeframes": sorted({bars.timeframe for bars in result.bars.values()}),
        "first": iso_time(min(int(bars.ts[0]) for bars in filled)) if filled else None,
        "last": iso_time(max(int(bars.ts[-1]) for bars in filled)) if filled else None,
        "bars": sum(len(bars) for bars in filled),
    }


def _text(text: str) -> str:
    """Return `text` as UTF-8 can hold it; names read from odd files may carry lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
