from pathlib import Path

import pytest

from abidance.market.store import Tables, open_tables
from abidance.testing.store_spec import StoreSpec


@pytest.fixture
def store(tmp_path: Path) -> Tables:
    return open_tables(tmp_path / "store")


class TestFolder(StoreSpec):
    pass
