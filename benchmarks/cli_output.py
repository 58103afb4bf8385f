"""Read what `abidance backtest` prints, to know what a whole process has done."""

from __future__ import annotations

import re
from typing import Any

from measure import ScriptFailedError


def counted(text: str, items: int) -> dict[str, Any]:
    """Return a result of the printed table; the program has no figure for the simulation alone."""
    if fallback := re.search(r"The event engine ran this backtest, .*", text):
        raise ScriptFailedError(fallback[0])
    closed, still_open = (int(_figure(text, name)) for name in ("Round trips", "Still open"))
    outcome = {"trades": closed + still_open, "closed": closed, "pnl": _figure(text, "Profit")}
    return {"version": "program", "items": items, "phases": {}, "also": {}, "outcome": outcome}


def _figure(text: str, name: str) -> float:
    found = re.search(rf"^\s*{name}\s+(-?[\d,.]+)", text, re.MULTILINE)
    if found is None:
        raise ScriptFailedError(f"its table has no {name}: {text[-300:]}")
    return float(found[1].replace(",", ""))
