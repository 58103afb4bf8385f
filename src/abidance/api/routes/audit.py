"""The audit log: who did what, and whether the log is whole."""

from fastapi import APIRouter

from abidance.api.access import Admin, Judged, Stand
from abidance.api.paging import Cursor, Limit
from abidance.api.schemas.access import AuditOut, AuditStateOut
from abidance.api.schemas.wire import Page

router = APIRouter(prefix="/audit", tags=["audit"], route_class=Judged)


@router.get("")
async def list_audit(who: Admin, house: Stand, limit: Limit = 100, cursor: Cursor = "") -> Page[AuditOut]:
    """List the newest lines of the audit log, newest first."""
    lines = await house.reading(house.audit.last, limit, int(cursor) if cursor else None)
    items = [
        AuditOut(
            seq=each.seq,
            ts=each.ts,
            actor=each.actor,
            address=each.address,
            request_id=each.request_id,
            action=each.action,
            target=each.target,
            data=each.data,
            hash=each.hash,
        )
        for each in lines
    ]
    return Page(items=items, next=str(items[-1].seq) if items and items[-1].seq > 1 else None)


@router.get("/verify")
async def verify_audit(who: Admin, house: Stand) -> AuditStateOut:
    """Read the whole audit log and say whether it is as it was written."""
    found = await house.reading(house.audit.verify)
    return AuditStateOut(
        is_whole=not found.problem, lines=found.lines, head=found.head, problem=found.problem
    )
