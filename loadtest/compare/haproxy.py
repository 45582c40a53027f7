"""HAProxy in TCP mode with TLS on both sides, as one would put it before devices."""

from __future__ import annotations

import resource
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from loadtest.native.programs import Credentials

from .contenders import Contender, NotInstalledError
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


def haproxy_config(*, descriptor: int, pem: Path, ca: Path, devices: Sequence[str], connections: int) -> str:
    """One thread; the listening socket is inherited, so that no other program can take the port first."""
    tls = f"ssl crt {pem} ca-file {ca} verify required"
    servers = "\n".join(f"    server hsm{i} {address} {tls} check" for i, address in enumerate(devices, 1))
    return f"""\
global
    nbthread 1
    maxconn {connections}

defaults
    mode tcp
    maxconn {connections}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 2s
    default-server inter 2s

frontend excrypt
    bind fd@{descriptor} {tls}
    default_backend devices

backend devices
    balance leastconn
{servers}
"""


def start_haproxy(processes: Processes, folder: Path, credentials: Credentials, devices: Sequence[str]) -> Contender:
    """Start it before the devices. Raises NotInstalledError, ProgramError."""
    haproxy = find_haproxy()
    pem = folder / "haproxy.pem"  # HAProxy wants certificate and key in one file
    pem.touch(mode=0o600)
    pem.write_bytes(credentials.certificate.read_bytes() + credentials.key.read_bytes())
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = min(4096, (allowed - 100) // 2) if allowed != resource.RLIM_INFINITY else 4096
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        config = folder / "haproxy.cfg"
        config.write_text(
            haproxy_config(
                descriptor=listener.fileno(), pem=pem, ca=credentials.ca, devices=devices, connections=connections
            )
        )
        program = processes.start(NAME, [haproxy, "-db", "-f", config], keep=[listener.fileno()])
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    return Contender(name=NAME, addresses=[address], program=program)
