"""The server: where it listens, under which names, and what it refuses to be."""

import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from abidance.api.app import create_app
from abidance.api.connections import Bounded
from abidance.api.doorman import Rules, hosts_of
from abidance.api.house import SERVED, House
from abidance.api.place import known
from abidance.kernel.log import configure, logger
from abidance.market.store import open_tables
from abidance.model.errors import UsageError
from abidance.run.backtest import quick_collector

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
COLLECTED = (5_000, 2, 100)
"""How often the garbage collector looks: at little and often, for a look at all that replicas hold stops everybody."""


@dataclass(frozen=True)
class Address:
    """Where to listen: the loopback alone, unless a certificate is given and a host is named."""

    host: str = "127.0.0.1"
    port: int = 8321
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @property
    def scheme(self) -> str:
        """Return http or https."""
        return "https" if self.certificate is not None else "http"

    def check(self, *, demo: bool) -> None:
        """Raise UsageError for what would let strangers in, or could not work."""
        if (self.certificate is None) != (self.key is None):
            raise UsageError("A certificate and its key belong together.", "Give --certificate and --key.")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise UsageError(f"There is no file {path}.", "Name a PEM file.")
        if self.host not in LOOPBACK:
            if demo:
                raise UsageError(
                    "The demo lets anybody in and stays on this machine.",
                    "Leave out --host, or serve without demo.",
                )
            if self.certificate is None:
                raise UsageError(
                    f"{self.host} can be reached by others, and nothing would be encrypted.",
                    "Give --certificate and --key, or leave --host at 127.0.0.1 and tunnel to it.",
                )
            if self.host in ("0.0.0.0", "::") and not self.names:  # noqa: S104  the very thing that is refused
                raise UsageError(
                    f"Under {self.host} this server has no name.",
                    "Say how it is reached: --host-name trade.example.org",
                )
        for each in self.allowed:
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                raise UsageError(f"{each} is no IP address or network.", "Write 203.0.113.0/24.") from None


def serve(
    userdir: Path, store: Path | str, address: Address, *, demo: bool, tell: Callable[[House, str], None]
) -> None:
    """Serve until Ctrl-C; `tell` is called once all is set up, with the address of the dashboard."""
    address.check(demo=demo)
    with _listening(address) as listener:
        port = listener.getsockname()[1]
        house = House(userdir, open_tables(store), demo=demo)
        is_local = address.host in LOOPBACK
        names = address.names or (() if is_local else (address.host,))
        hosts = hosts_of("127.0.0.1" if is_local else names[0], port, names, address.scheme)
        app = create_app(house, Rules(hosts, address.scheme, address.allowed))
        shown = names[0] if names else "127.0.0.1"
        place = f"{address.scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}"
        tell(house, place)
        configure(userdir / SERVED)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        logger("api").info("serving", host=address.host, port=port, scheme=address.scheme, demo=demo)
        try:
            with suppress(KeyboardInterrupt), quick_collector(COLLECTED), known(userdir, place):
                uvicorn.Server(_config(app, address)).run([listener])
        finally:
            logger("api").info("stopped")
            configure(None, to_console=False)


def _listening(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(
            f"{address.host}:{address.port} cannot be listened at ({error.strerror}).",
            "Choose another --port.",
        ) from None


def _config(app: FastAPI, address: Address) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        http=Bounded,
        ws="websockets-sansio",
        ws_max_size=16_384,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
        limit_concurrency=1_200,
        h11_max_incomplete_event_size=65_536,
    )


__all__ = ["Address", "serve"]
