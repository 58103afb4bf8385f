"""Columns read without polars: the same as polars reads, or none."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.market.store import plain

KNOWN = ("abidance.schema", "1")
NAMES = ["ts", "close"]


def a_frame(rows: int) -> pl.DataFrame:
    noise = np.random.default_rng(rows).normal(size=rows)
    return pl.DataFrame({"close": noise, "ts": np.arange(rows) * 60_000, "volume": noise * 2})


def written(frame: pl.DataFrame, **how: object) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content, **{"compression": "uncompressed", "metadata": dict([KNOWN]), **how})  # type: ignore[arg-type]
    return content.getvalue()


def a_file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rows", [[1000], [2000, 290_000, 1500]])
@pytest.mark.parametrize(
    "how", [{}, {"row_group_size": 50_000}, {"data_page_size": 2000}, {"statistics": False}]
)
def test_columns_of_several_files_are_those_that_polars_reads(
    tmp_path: Path, rows: list[int], how: dict[str, object]
) -> None:
    files = [a_file(tmp_path, f"{at}", written(a_frame(count), **how)) for at, count in enumerate(rows)]

    columns = plain.read(files, NAMES, KNOWN)

    assert columns is not None
    for name, column in zip(NAMES, columns, strict=True):
        expected = pl.read_parquet(files, columns=[name])[name].to_numpy()
        assert column.dtype == expected.dtype
        assert column.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1PAR1PAR1",
        b"\xff\xff\xff\xffPAR1",
        written(a_frame(1000), compression="zstd"),
        written(a_frame(1000), metadata={}),
        written(a_frame(1000), metadata={"abidance.schema": "2"}),
        written(a_frame(1000).drop("ts")),
        written(a_frame(1000).cast({"close": pl.Float32})),
        written(a_frame(1)),
        written(a_frame(1000).with_columns(close=pl.when(pl.col("ts") != 60_000).then(pl.col("close")))),
        written(a_frame(1000))[:-1],
        written(a_frame(1000))[1:],
    ],
)
def test_a_file_that_is_not_plain_is_left_to_polars(tmp_path: Path, content: bytes) -> None:
    good, other = a_file(tmp_path, "good", written(a_frame(1000))), a_file(tmp_path, "other", content)

    assert plain.read([good], NAMES, KNOWN) is not None
    assert plain.read([good, other], NAMES, KNOWN) is None
    assert plain.read([tmp_path / "nowhere"], NAMES, KNOWN) is None


SOUND = written(a_frame(500), data_page_size=2000)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(1, 900) | st.integers(0, 20), mask=st.integers(1, 255), is_late=st.booleans())
def test_a_byte_that_fell_over_never_makes_other_columns_than_polars_would_read(
    tmp_path_factory: pytest.TempPathFactory, at: int, mask: int, is_late: bool
) -> None:
    broken = bytearray(SOUND)
    broken[-at if is_late and at else at] ^= mask
    file = a_file(tmp_path_factory.mktemp("broken"), "file", bytes(broken))

    columns = plain.read([file], NAMES, KNOWN)

    if columns is not None:
        try:
            expected = pl.read_parquet(file, columns=NAMES).select(NAMES)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            expected = a_frame(500).select(NAMES)
        assert [each.tobytes() for each in columns] == [expected[name].to_numpy().tobytes() for name in NAMES]


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=200), length=st.integers(0, 210))
def test_any_footer_is_answered(tmp_path_factory: pytest.TempPathFactory, noise: bytes, length: int) -> None:
    file = a_file(tmp_path_factory.mktemp("noise"), "file", noise + length.to_bytes(4, "little") + b"PAR1")

    assert plain.read([file], NAMES, KNOWN) is None
