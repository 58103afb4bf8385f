"""What people should look at: notices of all bots that are more than news, and what could not be written down."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Annotated, get_args

from fastapi import APIRouter, Query

from abidance.api import views
from abidance.api.access import Judged, Stand, Viewer
from abidance.api.describing import also
from abidance.api.following import Followed
from abidance.api.paging import LOOKED_AT, Cursor, Limit
from abidance.api.schemas.trading import AlertOut, NoticeLevel
from abidance.api.schemas.wire import Page, ms

router = APIRouter(prefix="/alerts", tags=["alerts"], route_class=Judged)
_LEVELS = get_args(NoticeLevel)


@router.get("", responses=also(404))
async def list_alerts(
    who: Viewer,
    house: Stand,
    limit: Limit = 100,
    cursor: Cursor = "",
    level: Annotated[NoticeLevel, Query(description="From this on.")] = "warning",
    run: Annotated[str, Query(max_length=128, description="Of this run alone.")] = "",
) -> Page[AlertOut]:
    """List what people should know, newest first; what came at one moment comes on one page.

    `run` is empty for what is about no bot.
    """
    runs = [house.runs.get(run)] if run else house.runs.all()
    levels, before = _LEVELS[_LEVELS.index(level) :], int(cursor) if cursor else None
    alarms = [
        AlertOut(run=each.run, ts=each.ts, level="error", code="not_audited", text=each.text, strategy="")
        for each in house.arrears.alarms
        if run in ("", each.run)
    ]
    parts = [_newest(one, levels, before, limit) for one in runs]
    found = [each for rows, _ in parts for each in rows]
    found += [each for each in alarms if before is None or each.ts < before]
    total = len(alarms) + sum(one.replica.told[each] for one in runs for each in levels)
    return _page(found, [moment for _, moment in parts if moment is not None], limit, total)


def _page(found: list[AlertOut], unread: Iterable[int], limit: int, total: int) -> Page[AlertOut]:
    """Return the newest moments of what was found, of which parts were read no further than to the moments `unread`."""
    least = max(unread, default=None)
    known = sorted((each for each in found if least is None or each.ts >= least), key=lambda each: -each.ts)
    items = [each for at, each in enumerate(known) if at < limit or each.ts == known[limit - 1].ts]
    next = items[-1].ts if len(items) < len(known) else least
    return Page(items=items, next=None if next is None else str(next), total=total)


def _newest(
    run: Followed, levels: tuple[str, ...], before: int | None, limit: int
) -> tuple[list[AlertOut], int | None]:
    """Return the newest of one run's alerts, moment by moment, and the moment before which it has not been read."""
    rows = run.replica.notices
    end = len(rows) if before is None else bisect_left(rows, before * 1_000_000, key=lambda each: each.ts)
    found: list[AlertOut] = []
    moment: int | None = None
    for at in range(end - 1, -1, -1):
        notice = rows[at]
        is_full = len(found) >= limit or end - at > LOOKED_AT
        if is_full and ms(notice.ts) != moment:
            return found, moment
        moment = ms(notice.ts)
        if notice.level in levels:
            found.append(AlertOut(run=run.name, **vars(views.notice(notice))))
    return found, None
