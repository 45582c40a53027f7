"""nginx's stream module with TLS on both sides, as one would put it before devices."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .contenders import Contender, NotInstalledError
from .pki import Pki
from .processes import Processes

NAME: Final = "nginx"
_MODULE: Final = "ngx_stream_module.so"
_FOLDERS: Final = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules")
_MISSING: Final = "is not installed; Debian: apt-get install --no-install-recommends nginx-light libnginx-mod-stream"


def find_nginx() -> str:
    """Its path, also where Debian puts it and an ordinary user's PATH does not look. Raises NotInstalledError."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotInstalledError(f"nginx {_MISSING}")
    return found


def _stream_module(nginx: str) -> str:
    """The line of the configuration that loads it; empty where it is built in. Raises NotInstalledError."""
    built = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False, timeout=10).stderr
    if "--with-stream" in built.split():
        return ""
    for folder in _FOLDERS:
        if Path(folder, _MODULE).exists():
            return f"load_module {folder}/{_MODULE};"
    raise NotInstalledError(f"nginx's stream module {_MISSING}")


def nginx_config(
    *, module: str, address: str, folder: Path, pki: Pki, devices: Sequence[str], workers: int, tickets: bool
) -> str:
    """As the manual has it for TLS to both sides; `tickets` lets clients resume their sessions."""
    servers = "\n".join(f"        server {device};" for device in devices)
    return f"""\
{module}
daemon off;
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
stream {{
    upstream devices {{
        least_conn;
{servers}
    }}
    server {{
        listen {address} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {pki.listener.certificate};
        ssl_certificate_key {pki.listener.key};
        ssl_client_certificate {pki.listener.ca};
        ssl_verify_client on;
        ssl_session_tickets {"on" if tickets else "off"};
        ssl_session_cache {"shared:clients:4m" if tickets else "off"};
        proxy_pass devices;
        proxy_connect_timeout 20s;
        proxy_timeout 60s;
        proxy_ssl on;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_ssl_certificate {pki.upstream.certificate};
        proxy_ssl_certificate_key {pki.upstream.key};
        proxy_ssl_trusted_certificate {pki.upstream.ca};
        proxy_ssl_verify on;
        proxy_ssl_name device;
    }}
}}
"""


def start_nginx(
    processes: Processes, folder: Path, pki: Pki, devices: Sequence[str], *, workers: int = 1, tickets: bool = False
) -> Contender:
    """Start it; clients may connect at once, since its socket listens already. Raises NotInstalledError."""
    nginx = find_nginx()
    module = _stream_module(nginx)
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        listener.setblocking(False)  # nginx takes it as it is; of two workers one would wait in accept for ever
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        config = folder / "nginx.conf"
        config.write_text(
            nginx_config(
                module=module,
                address=address,
                folder=folder,
                pki=pki,
                devices=devices,
                workers=workers,
                tickets=tickets,
            )
        )
        # In NGINX a binary that upgrades itself names the listening sockets that it hands over.
        command: list[str | Path] = ["env", f"NGINX={listener.fileno()};", nginx, "-c", config, "-e", "stderr"]
        # Its workers outlive a master that is killed, and not one that is told to end.
        program = processes.start(NAME, command, keep=[listener.fileno()], on_our_death="TERM")
    return Contender(name=NAME, addresses=[address], program=program)
