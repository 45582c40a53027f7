"""The doctor's token goes to nobody but who shows the certificate of the configuration."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from config.model import Admin, AdminTls, Bind
from guardian.commands.doctor import _remote
from guardian.remote import UnreachableError
from tests.support.tls import SERVER, Issued, authority, issue


@contextmanager
def listening(folder: Path, shown: Issued) -> Iterator[tuple[str, list[bytes]]]:
    """An HTTPS server with that certificate for one connection, and what it hears."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*shown.write(folder, "shown"))
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            plain, _ = server.accept()
            plain.settimeout(10)
            with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as sock:
                heard.append(sock.recv(4096))
                sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"groups":[]}')

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.getsockname()[1]}", heard
        finally:
            thread.join(10)


def configured(folder: Path, own: Issued, url: str) -> Any:
    """A configuration whose admin port is at ``url``."""
    certificate, key = own.write(folder, "admin")
    (folder / "token").write_text("hunter2hunter2")
    bind = Bind(host="127.0.0.1", port=int(url.rpartition(":")[2]))
    return SimpleNamespace(
        admin=Admin(bind=bind, token_file=folder / "token", tls=AdminTls(certificate=certificate, key=key))
    )


@pytest.mark.parametrize("named", [True, False])
def test_the_proxy_of_the_configuration_hears_it(tmp_path: Path, named: bool) -> None:
    own = issue(authority(), "guardian", eku=[SERVER])
    with listening(tmp_path, own) as (url, heard):
        assert _remote(configured(tmp_path, own, url), f"{url}/" if named else None, None).status() == {"groups": []}
    assert b"Bearer hunter2hunter2" in heard[0]


@pytest.mark.parametrize("system_trusts", [True, False])
@pytest.mark.parametrize("of_the_same_ca", [True, False])
def test_nobody_else_does(
    tmp_path: Path, of_the_same_ca: bool, system_trusts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = authority()
    own = issue(root, "guardian", eku=[SERVER])
    by = root if of_the_same_ca else authority("Other", number=1)
    if system_trusts:
        monkeypatch.setenv("SSL_CERT_FILE", str(by.write(tmp_path, "system")[0]))
    with listening(tmp_path, issue(by, "guardian", eku=[SERVER], san=["127.0.0.1"])) as (url, heard):
        remote = _remote(configured(tmp_path, own, url), url, None)
        with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            remote.status()
    assert heard in ([], [b""])


@pytest.mark.parametrize(
    "other", ["http://127.0.0.1:9190", "https://127.0.0.1:9191", "https://proxy.example:9190", "unix:/tmp/admin.sock"]
)
def test_another_address_gets_only_a_token_that_was_given_for_it(tmp_path: Path, other: str) -> None:
    config = configured(tmp_path, issue(authority(), "guardian", eku=[SERVER]), "https://127.0.0.1:9190")
    assert _remote(config, other, None).token is None
    (tmp_path / "given").write_text("for-that-one")
    assert _remote(config, other, tmp_path / "given").token == "for-that-one"


def test_no_token_in_the_clear(tmp_path: Path) -> None:
    config = configured(tmp_path, issue(authority(), "guardian", eku=[SERVER]), "https://127.0.0.1:9190")
    with pytest.raises(click.UsageError, match="use https"):
        _remote(config, "http://proxy.example:9190", tmp_path / "token")
    clear = Admin(bind=Bind(host="192.0.2.1", port=9190), token_file=tmp_path / "token")
    with pytest.raises(ValueError, match="would show the token"):
        _remote(SimpleNamespace(admin=clear), None, None)  # type: ignore[arg-type]
