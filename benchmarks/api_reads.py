"""Every read of the API, filled in so that it answers 200: what `api_load.py reads` asks for.

The list is the API's own description: a route that is added and has no names here ends the measurement with its path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from abidance.api.bench import Job
from abidance.research.objective import Aim, Outcome
from abidance.research.space import Dimension, Space
from abidance.research.storage import journal
from abidance.research.study import Plan, Study
from abidance.security.audit import Audit, _canonical, _hash
from abidance.security.database import USERS, open_database
from abidance.security.roles import Role
from abidance.security.sessions import Tokens
from abidance.security.users import Users

ID = "BTC/USDT@BINANCE"
BEGAN = 1_600_000_000
"""When the run began that is read, in seconds; it traded once a minute."""
SERIES = {"instrument": ID, "timeframe": "1h"}
RUN, DONE = "/api/v1/runs/{run}", "20250101-000000-abcdef"
LOGS: tuple[dict[str, Any], ...] = (
    {"limit": 200}, {"level": "error"}, {"contains": "nowhere to be found"},
)  # fmt: skip
DAY = {"limit": 100, "start": "{day}", "end": "{next_day}"}
"""Of a day in the middle of the run."""
QUERIES: dict[str, tuple[dict[str, Any], ...]] = {
    f"{RUN}/orders": (
        {"limit": 100}, {"limit": 500}, {"limit": 100, "cursor": "{half}"}, {"limit": 100, "purpose": "take_profit"},
        DAY,
    ),
    f"{RUN}/orders/levels": ({"instrument": ID},),
    f"{RUN}/fills": (
        {"limit": 100}, {"limit": 100, "cursor": "{half}"}, DAY, {"limit": 100, "end": "{first}"},
    ),
    f"{RUN}/round-trips": ({"limit": 100}, {"limit": 100, "cursor": "{quarter}"}, DAY),
    f"{RUN}/ledger": ({"limit": 100, "cursor": "{half}"}, DAY, DAY | {"kind": "fees"}),
    f"{RUN}/equity": ({"points": 1_000},),
    f"{RUN}/bars": (SERIES,),
    f"{RUN}/book": ({"instrument": ID},),
    f"{RUN}/indicators": (SERIES | {"names": "ema 20,bollinger 20"},),
    f"{RUN}/why": ({"ref": "{ref}"},),
    f"{RUN}/logs": (*LOGS, {"limit": 500, "cursor": "{logged}"}),
    "/api/v1/logs": LOGS,
    "/api/v1/audit": ({"limit": 100}, {"limit": 100, "cursor": "{audited}"}, {"limit": 100, "cursor": "2"}),
    "/api/v1/bars": (SERIES,),
    "/api/v1/data/gaps": (SERIES,),
    "/api/v1/data/quality": (SERIES,),
    "/api/v1/data/calendar": (SERIES,),
    "/api/v1/backtests/compare": ({"ids": DONE},),
    "/api/v1/backtests/{id}/why": ({"ref": f"{ID}#1000"},),
}  # fmt: skip
"""What is asked besides the path; several where it matters what is asked."""
WHOLE = f"{RUN}/exports/"
"""Files of a million lines: they are made for as long as they are read, and are no page."""


def reads(document: dict[str, Any], fills: int, logged: int, audited: int) -> Iterator[str]:
    """Yield the path of every read that the API's description has.

    `logged` and `audited` are where the middle of a log lies: a byte, and a line of the audit log.
    """
    middle = (BEGAN + fills // 2 * 60) * 1_000
    names = {
        "logged": logged, "audited": audited,
        "half": fills // 2, "quarter": fills // 4, "order_id": f"{fills // 3:032x}", "ref": f"{ID}#{fills // 3}",
        "run": "long", "id": DONE, "number": 0,
        "day": middle, "next_day": middle + 86_400_000, "first": (BEGAN + 3_600) * 1_000,
    }  # fmt: skip
    for path, methods in document["paths"].items():
        if "get" not in methods or path.startswith(WHOLE):
            continue
        name = "tried" if "/studies/" in path else "EmaCross"
        for query in QUERIES.get(path, ({},)):
            filled = {key: str(value).format(**names) for key, value in query.items()}
            asked = f"?{urlencode(filled)}" if filled else ""
            yield path.format(**names, name=name) + asked


def write_log(path: Path, size: int) -> None:
    """Write a log of so many bytes, as long runs leave it: most lines are information, one in fifty is an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with path.open("wb") as file:
        while file.tell() < size:
            number += 1
            told = {
                "event": "order_sent", "order_id": f"{number:032x}", "instrument": ID, "strategy": "EmaCross",
                "level": "info" if number % 50 else "error", "timestamp": "2026-01-01T00:00:00.000000Z",
            }  # fmt: skip
            file.write(json.dumps(told).encode() + b"\n")


def write_audit(path: Path, lines: int) -> None:
    """Append so many lines to an audit log, each bound to the one before as `Audit.write` binds it."""
    audit = Audit(path)
    first = audit.write("bench", "begin")
    previous = first.hash
    with path.open("ab") as file:
        for seq in range(first.seq + 1, first.seq + lines):
            body = {
                "seq": seq, "ts": 1_700_000_000_000 + seq, "actor": "operator", "address": "127.0.0.1",
                "request_id": f"{seq:012x}", "action": "control.order", "target": "long",
                "data": {"strategy": "EmaCross", "values": {"side": "buy", "quantity": "1"}, "id": ""},
                "previous": previous,
            }  # fmt: skip
            previous = _hash(body)
            file.write(_canonical(body | {"hash": previous}) + b"\n")
    audit._anchor.write_text(f"{first.seq + lines - 1} {previous}\n", "utf-8")
    if problem := audit.verify().problem:
        raise SystemExit(f"The audit log that was made is not whole: {problem}")


def furnish(userdir: Path) -> str:
    """Put one piece of finished work of each kind and a study there; return the secret of an admin's token."""
    curve = [[f"2025-01-{day:02}T00:00:00Z", float(day)] for day in range(1, 29)]
    results: dict[str, dict[str, Any]] = {
        "backtests": {"equity": curve, "data": {"currency": "USDT"}},
        "searches": {"best": 0, "trials": []},
        "verdicts": {
            "strategy": "", "sentence": "", "mark": "pass", "instruments": [], "period": ["", ""], "checks": [],
        },
        "downloads": {},
    }  # fmt: skip
    asked = {"backtest": "", "objectives": ["sharpe"], "sampler": "random", "train_until": None}
    for folder, result in results.items():
        place = userdir / folder / DONE
        place.mkdir(parents=True, exist_ok=True)
        job = Job(DONE, {}, "one", "bench", 1, "done", 1.0, 2, asked=asked)
        job.metrics = {"trades": 1.0} if folder == "backtests" else {}
        (place / "request.json").write_text(json.dumps(asdict(job)))
        (place / "result.json").write_text(json.dumps(result))
        (place / "page.html").write_text("<p>page</p>")
    kept = userdir / "studies" / "tried.journal"
    if not kept.exists():
        kept.parent.mkdir()
        space = Space({"fast": Dimension("fast", 2, 10**9)})
        study = Study(journal(kept), Plan("tried", "random", 100, space, Aim.read(("sharpe",), ())))
        for _ in range(100):
            study.tell(study.ask().number, Outcome((1.0,), (), {}))
    database = open_database(userdir / USERS)
    try:
        if Users(database).get("looker") is None:
            Users(database).add("looker", "four unrelated words", "", Role.ADMIN)
        return Tokens(database).make("looker", "reads", Role.ADMIN, 1)[0]
    finally:
        database.close()
