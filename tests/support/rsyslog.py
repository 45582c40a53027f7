"""Debian's rsyslog as a receiver, with a configuration, a port and a folder of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from guardian.pki import PkiFiles

_PROGRAM = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin")
_FIELDS = ("pri", "hostname", "app-name", "procid", "msgid", "structured-data", "msg", "fromhost-ip")


def needs_rsyslog(driver: str = "") -> None:
    """``driver``: of TLS, `ossl` or `gtls`."""
    if _PROGRAM is None:
        pytest.skip("needs rsyslog")
    if driver and not list(Path("/usr/lib").glob(f"*/rsyslog/lmnsd_{driver}.so")):
        pytest.skip(f"needs {'rsyslog-openssl' if driver == 'ossl' else 'rsyslog-gnutls'}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@attrs.define
class Receiver:
    folder: Path
    port: int
    driver: str = ""
    pki: PkiFiles | None = None

    @property
    def output(self) -> Path:
        return self.folder / "received.json"

    def messages(self) -> list[dict[str, Any]]:
        """What it has understood."""
        if not self.output.exists():
            return []
        return [json.loads(line) for line in self.output.read_bytes().decode("ascii").splitlines()]

    async def until(self, *words: str, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Wait until some message holds each of the words."""
        with trio.fail_after(seconds):
            while not all(any(word in json.dumps(each) for each in self.messages()) for word in words):
                await trio.sleep(0.02)
        return self.messages()

    def configuration(self) -> str:
        comma = ' constant(value=",") '
        properties = comma.join(f'property(outname="{name}" name="{name}" format="jsonf")' for name in _FIELDS)
        tls = mode = ""
        if self.driver:
            assert self.pki is not None
            tls = (
                f'global(defaultNetstreamDriver="{self.driver}" defaultNetstreamDriverCAFile="{self.pki.ca}" '
                f'defaultNetstreamDriverCertFile="{self.pki.server.certificate}" '
                f'defaultNetstreamDriverKeyFile="{self.pki.server.key}")\n'
            )
            mode = f'streamDriver.name="{self.driver}" streamDriver.mode="1" streamDriver.authMode="x509/certvalid" '
        return (
            f'global(workDirectory="{self.folder}" maxMessageSize="64k")\n{tls}'
            f'module(load="imtcp" {mode})\n'
            'template(name="fields" type="list") {constant(value="{") '
            f'{properties} constant(value="}}\\n")}}\n'
            'ruleset(name="all") {action(type="omfile" '
            f'file="{self.output}" template="fields" fileCreateMode="0600")}}\n'
            f'input(type="imtcp" address="127.0.0.1" port="{self.port}" ruleset="all")\n'
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        path = self.folder / "rsyslog.conf"
        path.write_text(self.configuration())
        assert _PROGRAM is not None
        command = [_PROGRAM, "-n", "-f", str(path), "-i", str(self.folder / "rsyslog.pid")]
        with (self.folder / "rsyslog.out").open("ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
            try:
                with trio.fail_after(20):
                    while process.poll() is None and not _listens(self.port):
                        await trio.sleep(0.02)
                assert process.poll() is None, (self.folder / "rsyslog.out").read_text()
                yield
            finally:
                process.terminate()
                process.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
