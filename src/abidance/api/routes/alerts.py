"""What people should look at: notices of all bots that are more than news, and what could not be written down."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Annotated, get_args

from fastapi import APIRouter, Query

from abidance.api import views
from abidance.api.access import Stand, Viewer
from abidance.api.describing import also
from abidance.api.following import Followed
from abidance.api.paging import LARGEST, LOOKED_AT
from abidance.api.schemas.trading import AlertOut, NoticeLevel

router = APIRouter(prefix="/alerts", tags=["alerts"])
_LEVELS = get_args(NoticeLevel)


@router.get("", responses=also(404))
async def list_alerts(
    who: Viewer,
    house: Stand,
    limit: Annotated[int, Query(ge=1, le=LARGEST, description="The newest so many.")] = 100,
    level: Annotated[NoticeLevel, Query(description="From this on.")] = "warning",
    run: Annotated[str, Query(max_length=128, description="Of this run alone.")] = "",
    before: Annotated[
        int | None,
        Query(ge=0, le=2**53, description="Older than this (ms UTC): `ts` of the last one that came."),
    ] = None,
) -> list[AlertOut]:
    """List what people should know, newest first; what came at one moment comes on one page.

    `run` is empty for what is about no bot.
    """
    runs = [house.runs.get(run)] if run else house.runs.all()
    levels = _LEVELS[_LEVELS.index(level) :]
    found = [each for one in runs for each in _newest(one, levels, before, limit)]
    found += [
        AlertOut(run=each.run, ts=each.ts, level="error", code="not_audited", text=each.text, strategy="")
        for each in house.arrears.alarms
        if run in ("", each.run) and (before is None or each.ts < before)
    ]
    found.sort(key=lambda each: -each.ts)
    return [each for at, each in enumerate(found) if at < limit or each.ts == found[limit - 1].ts]


def _newest(run: Followed, levels: tuple[str, ...], before: int | None, limit: int) -> Iterator[AlertOut]:
    """Yield the newest of one run's alerts, and whatever came at the moment of the last of them."""
    rows = run.replica.notices
    end = len(rows) if before is None else bisect_left(rows, before * 1_000_000, key=lambda each: each.ts)
    count, last = 0, -1
    for at in range(end - 1, max(-1, end - 1 - LOOKED_AT), -1):
        if rows[at].level not in levels:
            continue
        alert = AlertOut(run=run.name, **vars(views.notice(rows[at])))
        if count >= limit and alert.ts != last:
            return
        count, last = count + 1, alert.ts
        yield alert
