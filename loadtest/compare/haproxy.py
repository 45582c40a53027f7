"""HAProxy in TCP mode with TLS on both sides, as one would put it before devices."""

from __future__ import annotations

import resource
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from loadtest.native.programs import Credentials

from .contenders import Contender, NotInstalledError
from .pki import Pki
from .processes import Processes

NAME = "haproxy"


def find_haproxy() -> str:
    """Its path, also where Debian puts it and an ordinary user's PATH does not look. Raises NotInstalledError."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotInstalledError(
            "haproxy is not installed; it is in Debian's package of that name: apt-get install haproxy"
        )
    return found


def _joined(credentials: Credentials, folder: Path) -> Path:
    pem = folder / f"haproxy-{credentials.certificate.stem}.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(credentials.certificate.read_bytes() + credentials.key.read_bytes())
    return pem


def haproxy_config(
    *,
    descriptor: int,
    folder: Path,
    pki: Pki,
    devices: Sequence[str],
    connections: int,
    threads: int = 1,
    tickets: bool = False,
) -> str:
    """The listening socket is inherited, so that no other program can take the port first.

    `tickets` lets clients resume their sessions. Where a device is found down its connections are closed, which HAProxy
    does not do by itself. Writes the two files it names into `folder`: HAProxy wants certificate and key in one.
    """
    listener, upstream = (
        f"ssl crt {_joined(credentials, folder)} ca-file {credentials.ca} verify required"
        for credentials in (pki.listener, pki.upstream)
    )
    servers = "\n".join(f"    server hsm{i} {address} {upstream} check" for i, address in enumerate(devices, 1))
    return f"""\
global
    nbthread {threads}
    maxconn {connections}

defaults
    mode tcp
    maxconn {connections}
    timeout connect 20s
    timeout client 60s
    timeout server 60s
    timeout check 2s
    default-server inter 2s on-marked-down shutdown-sessions
    option redispatch

frontend excrypt
    bind fd@{descriptor} {listener}{"" if tickets else " no-tls-tickets"}
    default_backend devices

backend devices
    balance leastconn
{servers}
"""


def start_haproxy(
    processes: Processes, folder: Path, pki: Pki, devices: Sequence[str], *, threads: int = 1, tickets: bool = False
) -> Contender:
    """Start it; clients may connect at once, since its socket listens already. Raises NotInstalledError."""
    haproxy = find_haproxy()
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = min(4096, (allowed - 100) // 2) if allowed != resource.RLIM_INFINITY else 4096
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        listener.setblocking(False)
        config = folder / "haproxy.cfg"
        config.write_text(
            haproxy_config(
                descriptor=listener.fileno(),
                folder=folder,
                pki=pki,
                devices=devices,
                connections=connections,
                threads=threads,
                tickets=tickets,
            )
        )
        program = processes.start(NAME, [haproxy, "-db", "-f", config], keep=[listener.fileno()])
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    return Contender(name=NAME, addresses=[address], program=program)
