"""The configuration: what is in force, and the JSON Schema of every key. It holds no secrets."""

import json
import os
from functools import cache
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from abidance.api.access import Judged, Stand, Viewer
from abidance.api.schemas.market import ConfigOut
from abidance.kernel.config import Described
from abidance.run.config import FILE_NAME, RunConfig, own_files, trace

router = APIRouter(prefix="/config", tags=["configuration"], route_class=Judged)


@router.get("")
async def get_config(who: Viewer, house: Stand) -> ConfigOut:
    """Return what a run would be told by the file in the user directory, with every default."""
    path = house.userdir / FILE_NAME
    found = await house.reading(trace, own_files(house.userdir), {}, os.environ)
    values = found.config.model_dump(mode="json")
    return ConfigOut(values=values, sources=found.sources, path=str(path), exists=path.exists())


@router.get("/schema", response_model=dict[str, Any])
async def get_config_schema(who: Viewer, house: Stand) -> Response:
    """Return the JSON Schema of a configuration, as forms need it."""
    return Response(await house.reading(_schema), media_type="application/json")


@cache
def _schema() -> bytes:
    """Return the schema as text; it takes long to make, and never changes."""
    return json.dumps(RunConfig.model_json_schema(schema_generator=Described)).encode()
