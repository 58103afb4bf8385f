"""How little goes over the wire: packed twins of the dashboard's files, long lists packed, secrets never."""

import gzip
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from tests.unit.api.conftest import CHANGE, logged_in

SCRIPT = b"console.log('dashboard');" * 200


@pytest.fixture
def web(house: House) -> Path:
    web = house.userdir / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<h1>dashboard</h1>")
    (web / "assets" / "app-1a2b.js").write_bytes(SCRIPT)
    (web / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (web / "assets" / "app-1a2b.js.br").write_bytes(b"as brotli packs it")
    (web / "assets" / "font-3c4d.woff2").write_bytes(b"letters")
    return web


@pytest.mark.parametrize(
    ("asked", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5, br;q=0", "gzip"),
        ("br; q=0.000, gzip;q=0", None),
        ("identity", None),
        ("", None),
    ],
)
def test_a_file_comes_in_the_smallest_packing_that_is_taken(
    nobody: TestClient, web: Path, asked: str, coding: str | None
) -> None:
    with nobody.stream("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": asked}) as answer:
        sent = b"".join(answer.iter_raw())

    ending = {"br": ".br", "gzip": ".gz", None: ""}[coding]
    assert sent == (web / "assets" / f"app-1a2b.js{ending}").read_bytes()
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "immutable" in answer.headers["cache-control"]


def test_a_file_without_a_packed_twin_comes_as_it_is(nobody: TestClient, web: Path) -> None:
    answer = nobody.get("/assets/font-3c4d.woff2", headers={"Accept-Encoding": "gzip, br"})

    assert answer.content == (web / "assets" / "font-3c4d.woff2").read_bytes()
    assert answer.headers["content-type"] == "font/woff2"
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/runs/demo", "/assets/app-1a2b.js"])
def test_a_browser_that_has_a_file_is_not_sent_it_again(nobody: TestClient, web: Path, path: str) -> None:
    first = nobody.get(path, headers={"Accept-Encoding": "gzip"})

    again = nobody.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["etag"]})
    other = nobody.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": '"another"'})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert other.status_code == 200


def test_packings_of_one_file_have_tags_of_their_own(nobody: TestClient, web: Path) -> None:
    tags = set()
    for coding in ("br", "gzip", "identity"):
        with nobody.stream("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": coding}) as answer:
            tags.add(answer.headers["etag"])

    assert len(tags) == 3


def test_long_lists_are_packed_for_who_takes_it_and_short_ones_never(
    nobody: TestClient, house: House
) -> None:
    viewer = logged_in(nobody, house, "viewer")
    path = "/api/v1/runs/demo/orders?limit=100"

    packed = viewer.get(path, headers={"Accept-Encoding": "gzip"})
    plain = viewer.get(path, headers={"Accept-Encoding": "identity"})
    short = viewer.get("/api/v1/runs/demo", headers={"Accept-Encoding": "gzip"})

    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.json() == plain.json()
    assert "Accept-Encoding" in packed.headers["vary"]
    assert "content-encoding" not in {*plain.headers, *short.headers}


def test_nothing_beside_a_secret_is_packed(nobody: TestClient, house: House) -> None:
    """Its length would tell how much of what others chose is like the secret (BREACH)."""
    admin = logged_in(nobody, house, "admin")
    for number in range(40):
        made = admin.post("/api/v1/tokens", json={"name": f"token{number}"}, headers=CHANGE)
        assert made.status_code == 201

    answers = [admin.get(f"/api/v1/{path}", headers={"Accept-Encoding": "gzip"})
               for path in ("tokens", "sessions", "session", "users", "audit?limit=500", "keys", "config")]  # fmt: skip

    assert max(len(each.content) for each in answers) > 4_096
    assert not any("content-encoding" in each.headers for each in answers)
