"""A real Prometheus that scrapes a real proxy while everything happens to it that its metrics are there for."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import trio

from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from loadtest.simhsm.latency import Constant
from tests.support.estate import QUICK, client_tls, configuration, device_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.process import Running, running

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = tuple(DEPLOY / "prometheus" / name for name in ("guardian.rules.yml", "guardian.alerts.yml"))
_SCRAPES = 4  # before anything is asked: rates need two
_GROUP = QUICK.replace("identity: {probes: []}", "identity: {action: observe, interval: 1s, timeout: 500ms}")
_USUAL = (b"[AOECHO;AG1;]", b"[AORAND;AG2;BL8;]", b"[AOECHO;AG3;]")
_LISTENING = re.compile(rb'msg="Listening on" address=([^ \n]+)')


@attrs.frozen
class Prometheus:
    """Asks it over HTTP. Blocks."""

    address: str

    def get(self, path: str, **parameters: str) -> Any:
        """``data`` of the answer. Raises AssertionError with what Prometheus says of a bad query."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{path} {parameters}: {exc.read().decode()}") from exc

    def instant(self, query: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return result


@contextmanager
def observed(pki: PkiFiles, folder: Path) -> Iterator[Prometheus]:
    """Runs in a thread of its own, so that many tests may share it; everything ends with the block."""
    told: list[Prometheus | BaseException] = []
    ready = threading.Event()
    tokens: list[trio.lowlevel.TrioToken] = []
    stop = trio.Event()

    async def play() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with _stage(pki, folder) as prometheus:
            told.append(prometheus)
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            trio.run(play)
        except BaseException as exc:  # noqa: BLE001 - whoever waits must hear of it
            told.append(exc)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="observed")
    thread.start()
    ready.wait()
    try:
        if isinstance(told[0], BaseException):
            raise told[0]
        yield told[0]
    finally:
        if thread.is_alive():
            tokens[0].run_sync_soon(stop.set)
        thread.join()
    if isinstance(told[-1], BaseException):
        raise told[-1]


@asynccontextmanager
async def _stage(pki: PkiFiles, folder: Path) -> AsyncIterator[Prometheus]:
    devices = {name: SimulatedDevice(name, tls=device_tls(pki, name)) for name in ("hsm1", "hsm2", "hsm3", "hsm4")}
    async with trio.open_nursery() as nursery:
        for device in devices.values():
            await nursery.start(device.serve)
        roles = dict(zip(devices, ("role: primary", "rate: 20/s", "weight: 1", "role: backup"), strict=True))
        entries = {
            name: f'address: "127.0.0.1:{device.port}", connections: 1, {roles[name]}'
            for name, device in devices.items()
        }
        config = folder / "guardian.yaml"
        rules = "    functions: {block: [GPKD]}\n"
        nobody = "{address: '127.0.0.1:9', tls: {mode: clear}}"  # a receiver that is away
        config.write_text(
            configuration(pki, entries, group=_GROUP + rules, tls=f", crl: [{pki.crl}]")
            + f"audit: {{file: {folder / 'audit'}, syslog: {nobody}}}\n"
        )
        async with running(config) as proxy:
            prometheus = await nursery.start(_prometheus, folder, ":".join(map(str, proxy.admin)))
            await _happen(proxy, pki, devices, nursery)
            await _scraped(prometheus)
            yield prometheus
        nursery.cancel_scope.cancel()


async def _happen(proxy: Running, pki: PkiFiles, devices: dict[str, SimulatedDevice], nursery: trio.Nursery) -> None:
    """Traffic that goes on, and: a refused function, login and client, a slow device, and one that is killed."""
    for name in ("vault-1", "vault-2"):
        for _ in range(4):
            nursery.start_soon(_talk, proxy, client_tls(pki, name), 0.02, *_USUAL)
    nursery.start_soon(_talk, proxy, client_tls(pki, "mallory"), 0.1, b"[AOGPKD;]")
    nursery.start_soon(_talk, proxy, client_tls(pki, "vault-2"), 0.1, b"[AORKLG;DAcrypto1;CHwrong;]")
    nursery.start_soon(_talk, proxy, None, 0.2, b"[AOECHO;]")  # in clear text
    devices["hsm3"].workload.latency = Constant(0.02)
    await trio.sleep(1)  # so that there is a before, too
    await devices["hsm2"].kill()


async def _talk(proxy: Running, tls: ssl.SSLContext | None, pause: float, *requests: bytes) -> None:
    """Again and again, on a new connection when one was closed."""
    while True:
        with suppress(Closed):
            client = await ExcryptClient.connect(proxy.address, tls)
            try:
                while True:
                    for request in requests:
                        await client.request(request)
                    await trio.sleep(pause)
            finally:
                client.close()
        await trio.sleep(pause)


async def _prometheus(
    folder: Path, target: str, *, task_status: trio.TaskStatus[Prometheus] = trio.TASK_STATUS_IGNORED
) -> None:
    scrape = f"{{job_name: guardian, static_configs: [{{targets: ['{target}']}}]}}"
    settings = folder / "prometheus.yml"
    settings.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
        f"rule_files: [{', '.join(map(str, RULES))}]\n"
        f"scrape_configs: [{scrape}]\n"
    )
    command = [
        "prometheus",
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:0",
        "--enable-feature=exemplar-storage",
    ]
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE)
        try:
            assert process.stderr is not None
            said = b""
            with trio.fail_after(30):
                while (found := _LISTENING.search(said)) is None:
                    more = await process.stderr.receive_some()
                    assert more, said.decode()
                    said += more
            nursery.start_soon(_swallow, process.stderr)
            task_status.started(Prometheus(found[1].decode()))
            await trio.sleep_forever()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _swallow(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


async def _scraped(prometheus: Prometheus) -> None:
    """Until what was last done has been scraped a few times."""
    killed = 'guardian_device_health{device="hsm2",state="down"}[1m]'
    query = f"sum_over_time({killed}) >= {_SCRAPES}"
    with trio.fail_after(40):
        while not await trio.to_thread.run_sync(prometheus.instant, query):
            await trio.sleep(0.2)
