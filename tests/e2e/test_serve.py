"""`abidance serve` and a bot in processes of their own, asked over real sockets."""

import json
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from abidance.api.place import served_at
from tests.e2e.program import Program

pytestmark = pytest.mark.e2e
BOT = ("-s", "EmaCross", "-p", "BTC/USDT", "--timerange", "20250101-", "--plain", "--set", "name=bot")


@contextmanager
def running(program: Program, *typed: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        program.command(*typed),
        cwd=program.home,
        env=program.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def serving(program: Program, *typed: str) -> Iterator[tuple[str, str]]:
    """Serve and yield the address and what was printed before the end of the greeting."""
    with running(program, "serve", "--port", "0", *typed) as process:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"https?://127\.0\.0\.1:\d+", told)
        assert found is not None, told
        yield found[0], told


def until(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return what is found once it is there. Processes of their own give no other sign."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := found():
                return value
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("It did not come in time.")


def client_of(address: str) -> httpx2.Client:
    return httpx2.Client(base_url=address, headers={"Origin": address, "X-Abidance": "1"}, timeout=10)


def paused(client: httpx2.Client, socket: ClientConnection) -> tuple[str, float]:
    """Pause a strategy; return who did it by the stream, and how many seconds later that was told."""
    body = {"action": "pause_entries", "strategy": "EmaCross"}
    assert client.post("/api/v1/runs/bot/control", json=body).status_code == 200
    asked = time.monotonic()
    while True:
        for item in json.loads(socket.recv(timeout=30)).get("items", []):
            if item["kind"] == "control":
                return item["data"]["actor"], time.monotonic() - asked


@pytest.fixture
def abidance(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_a_bot_is_watched_steered_and_killed_from_another_process(abidance: Program) -> None:
    with (
        running(abidance, "trade", *BOT, "--speed", "7200"),
        serving(abidance, "--demo") as (address, _),
        client_of(address) as client,
    ):
        until(lambda: client.get("/ready").status_code == 200)
        run = until(lambda: next((r for r in client.get("/api/v1/runs").json() if r["is_running"]), None))
        with connect(address.replace("http", "ws") + "/api/v1/stream", origin=Origin(address)) as socket:
            socket.send(json.dumps({"type": "subscribe", "run": "bot", "since": run["changes"]}))
            rounds = [paused(client, socket) for _ in range(3)]
        strategies = until(
            lambda: [s for s in client.get("/api/v1/runs/bot/strategies").json() if s["status"] == "paused"]
        )
        killed = client.post("/api/v1/runs/bot/control", json={"action": "kill"})
        halted = until(lambda: client.get("/api/v1/runs/bot").json()["standing"]["state"] == "halted")

    assert {actor for actor, _ in rounds} == {"demo (demo)"}
    assert min(seconds for _, seconds in rounds) < 1.0  # a busy machine may hold up any of them
    assert strategies[0]["name"] == "EmaCross"
    assert killed.json()["notices"][0]["code"] == "kill"
    assert halted


def test_a_bot_brings_its_dashboard_to_which_only_users_come_in_and_both_end_together(
    abidance: Program,
) -> None:
    with running(abidance, "trade", *BOT, "--speed", "7200", "--dashboard") as bot:
        assert bot.stdout is not None
        told = ""
        while "\n  " not in told or not told.endswith("\n"):
            told += bot.stdout.readline()
        address, token = re.findall(r"https?://127\.0\.0\.1:\d+", told)[0], told.split("\n  ")[1].split()[0]
        with client_of(address) as client:
            closed = client.get("/api/v1/runs").status_code
            wish = {"token": token, "name": "ada", "password": "four unrelated words"}
            made = client.post("/api/v1/setup", json=wish)
            client.headers["Cookie"] = made.headers["set-cookie"].partition(";")[0]
            run = until(lambda: next((r for r in client.get("/api/v1/runs").json() if r["is_running"]), None))
            paused = client.post("/api/v1/runs/bot/control", json={"action": "pause_entries"})
            config = {
                "instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}],
                "timerange": "20240101-20240201",
            }  # fmt: skip
            job = client.post("/api/v1/backtests", json={"config": config}).json()["id"]
            work = until(
                lambda: (j := client.get(f"/api/v1/backtests/{job}").json())["state"] != "queued"
                and j["state"] != "running" and j
            )  # fmt: skip
            bot.kill()
            bot.wait(20)
            left = until(lambda: not _answers(client))

    assert closed == 401
    assert (made.status_code, made.json()["role"]) == (201, "admin")
    assert (run["name"], run["is_real"]) == ("bot", False)
    assert paused.status_code == 200, paused.text
    assert work["state"] == "done", work
    assert left


def test_a_bot_whose_dashboard_runs_already_brings_no_other(abidance: Program) -> None:
    with serving(abidance) as (address, _):
        with running(abidance, "trade", *BOT, "--speed", "7200", "--dashboard") as bot:
            assert bot.stdout is not None
            told = bot.stdout.readline()
        with client_of(address) as client:
            stays = _answers(client)

    assert told.startswith(f"Dashboard:  {address}  (it runs already)")
    assert stays
    assert served_at(abidance.userdir) == ""  # it has ended


def _answers(client: httpx2.Client) -> bool:
    try:
        client.get("/health")
    except httpx2.TransportError:
        return False
    return True


def test_the_first_admin_is_made_with_the_printed_token_and_logs_in(abidance: Program) -> None:
    with serving(abidance) as (address, told), client_of(address) as client:
        token = told.split("\n  ")[1].split()[0]
        wish = {"token": token, "name": "ada", "password": "four unrelated words"}
        closed = client.get("/api/v1/runs").status_code
        made = client.post("/api/v1/setup", json=wish)
        cookie = made.headers["set-cookie"].partition(";")[0]
        me = client.get("/api/v1/session", headers={"Cookie": cookie})
        flood = client.post(
            "/api/v1/session", content=b"x" * 3_000_000, headers={"Content-Type": "application/json"}
        )
    listed = abidance("users", "list", "--userdir", str(abidance.userdir))
    verified = abidance("audit", "verify", "--userdir", str(abidance.userdir))

    assert closed == 401
    assert made.status_code == 201
    assert me.json()["role"] == "admin"
    assert flood.status_code == 413
    assert "ada" in listed.out
    assert verified.code == 0
    assert token not in (abidance.userdir / "audit.log").read_text()


def test_limits_and_breakers_of_a_running_bot_take_an_admin_with_a_fresh_password_and_survive_a_restart(
    abidance: Program,
) -> None:
    route, password = "/api/v1/runs/bot/risk/limits", "correct horse battery"
    breakers = "/api/v1/runs/bot/risk/breakers"
    with serving(abidance) as (address, told), client_of(address) as client:
        with running(abidance, "trade", *BOT, "--speed", "7200"):
            token = told.split("\n  ")[1].split()[0]
            made = client.post("/api/v1/setup", json={"token": token, "name": "ada", "password": password})
            client.headers["Cookie"] = made.headers["set-cookie"].partition(";")[0]
            until(lambda: [run for run in client.get("/api/v1/runs").json() if run["is_running"]])
            new = {"name": "olga", "password": password, "role": "operator"}
            assert client.post("/api/v1/users", json=new).status_code == 201
            tight = client.patch(route, json={"max_exposure": 0.2})
            loose = client.patch(route, json={"max_exposure": 0.9})
            meant = client.patch(route, json={"max_exposure": 0.3, "loosen": True})
            quick = client.patch(breakers, json={"daily_loss": 0.04, "losing_streak": 3})
            slack = client.patch(breakers, json={"daily_loss": None})
            beside = client.post(
                "/api/v1/runs/bot/control", json={"action": "set_limits", "values": {"max_exposure": 9}}
            )
            token = client.post("/api/v1/tokens", json={"name": "t", "role": "admin", "days": 1}).json()[
                "secret"
            ]
            with httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as program:
                by_token = program.patch(route, json={"max_exposure": 0.1})
            with client_of(address) as other:
                entered = other.post("/api/v1/session", json={"name": "olga", "password": password})
                other.headers["Cookie"] = entered.headers["set-cookie"].partition(";")[0]
                by_operator = other.patch(route, json={"max_exposure": 0.1})
        until(lambda: not client.get("/api/v1/runs/bot").json()["is_running"])
        with running(abidance, "trade", *BOT, "--speed", "7200"):
            until(lambda: client.get("/api/v1/runs/bot").json()["is_running"])
            again = client.patch(route, json={"max_exposure": 0.3})
            kept = client.get("/api/v1/runs/bot/risk").json()

    assert tight.json()["notices"][0]["text"].endswith("changed max_exposure 0.5 to 0.2.")
    assert (loose.status_code, loose.json()["code"]) == (409, "loosens")
    assert meant.json()["notices"][0]["level"] == "warning"
    assert (beside.status_code, by_token.json()["code"], by_operator.json()["code"]) == (
        422,
        "people",
        "role",
    )
    assert again.status_code == 200, again.text
    assert again.json()["notices"][0]["code"] == "limits_unchanged"
    assert quick.json()["notices"][0]["text"].endswith("daily_loss 0.05 to 0.04, losing_streak off to 3.")
    assert (slack.status_code, slack.json()["code"]) == (409, "loosens")
    assert kept["limits"]["max_exposure"] == 0.3
    assert (kept["breakers"]["daily_loss"], kept["breakers"]["losing_streak"]) == (0.04, 3)


def test_a_backtest_is_started_watched_and_read(abidance: Program) -> None:
    config = {
        "instruments": ["BTC/USDT@BINANCE"],
        "strategies": [{"strategy": "EmaCross"}],
        "timerange": "20240101-20240201",
    }
    with serving(abidance, "--demo") as (address, _), client_of(address) as client:
        job = client.post("/api/v1/backtests", json={"config": config, "label": "mine"}).json()
        done = until(
            lambda: (
                (j := client.get(f"/api/v1/backtests/{job['id']}").json())["state"] in ("done", "failed")
                and j
            )
        )
        result = client.get(f"/api/v1/backtests/{job['id']}/result").json()
        compared = client.get("/api/v1/backtests/compare", params={"ids": [job["id"], job["id"]]}).json()
    with serving(abidance, "--demo") as (address, _), client_of(address) as client:
        kept = client.get("/api/v1/backtests").json()["items"]

    assert done["state"] == "done", done
    assert done["metrics"]["trades"] == len([t for t in result["round_trips"] if "exit_time" in t])
    assert compared["metrics"]["trades"] == [done["metrics"]["trades"]] * 2
    assert [each["label"] for each in kept] == ["mine"]


@pytest.mark.parametrize(
    "typed",
    [("--host", "0.0.0.0"), ("--host", "192.0.2.1"), ("--certificate", "none.pem"), ("--allow", "everybody")],
)
def test_a_server_that_strangers_could_reach_is_refused(abidance: Program, typed: tuple[str, ...]) -> None:
    done = abidance("serve", "--port", "0", *typed)

    assert done.code == 2
    assert "Error:" in done.err
    assert "Traceback" not in done.err


def test_with_a_certificate_it_speaks_tls_and_nothing_older_than_1_2(
    abidance: Program, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography")
    certificate, key = _certified(tmp_path)
    with serving(abidance, "--certificate", str(certificate), "--key", str(key)) as (address, _):
        port = int(address.rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(certificate))
        with httpx2.Client(base_url=f"https://localhost:{port}", verify=context) as client:
            health = client.get("/health")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(httpx2.ConnectError), httpx2.Client(verify=old) as client:
            client.get(f"https://localhost:{port}/health")

    assert health.status_code == 200
    assert "strict-transport-security" in health.headers


def test_a_stream_without_a_session_is_not_even_opened(abidance: Program) -> None:
    with serving(abidance) as (address, _), pytest.raises((ConnectionClosed, Exception), match="403"):
        connect(address.replace("http", "ws") + "/api/v1/stream")


def _certified(folder: Path) -> tuple[Path, Path]:
    """Return a certificate of our own for localhost, and its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private
