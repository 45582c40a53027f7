"""Two real workers and many clients: all that an operator sees is the whole, and what he does reaches both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from prometheus_client.parser import text_string_to_metric_families as parse
from trio_websocket import open_websocket

from config.model import Bind
from guardian.pki import PkiFiles
from loadtest.simhsm.device import SimulatedDevice
from tests.integration.test_workers import ECHO, Crew, crew
from tests.support.admin_port import ask
from tests.support.estate import device_tls
from tests.support.excrypt_client import Closed, ExcryptClient
from tests.support.process import GUARDIAN

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
_ROUNDS = 10
_REQUESTS = "guardian_requests_total"


@attrs.define
class Seen:
    """What the admin port says."""

    serving: Crew

    @property
    def bind(self) -> Bind:
        host, port = self.serving.proxy.admin
        return Bind(host=host, port=port)

    async def get(self, path: str) -> Any:
        answer = await ask(self.bind, "GET", path)
        assert answer.status == 200, answer
        return answer

    async def status(self) -> Any:
        return (await self.get("/status")).json

    async def metrics(self) -> Samples:
        text = (await self.get("/metrics")).body.decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parse(text)
            for sample in family.samples
        }

    async def metrics_of(self, requests: float) -> Samples:
        """Once so many requests are counted: who scrapes beside others may get a rendering of two seconds ago.

        Exactly so many: no more come.
        """
        with trio.fail_after(30):
            while counted(found := await self.metrics(), _REQUESTS, outcome="ok") < requests:
                await trio.sleep(0.1)
        assert counted(found, _REQUESTS, outcome="ok") == requests
        return found

    async def answered(self) -> int:
        """How many requests devices have answered, as `/status` says, which is made for who asks."""
        await trio.sleep(0.3)  # workers are asked five times a second
        return int((await self.status())["groups"][0]["requests"]["ok"])

    async def command(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        """By the command line, as an operator's shell starts it."""
        host, port = self.serving.proxy.admin
        return await trio.run_process(
            [str(GUARDIAN), *args],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, "GUARDIAN_ADMIN": f"http://{host}:{port}"},
        )


def counted(samples: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of that name with these labels."""
    return sum(value for (known, has), value in samples.items() if known == name and labels.items() <= set(has))


async def say(client: ExcryptClient, times: int = 1) -> int:
    """Gives how often it was answered by a device."""
    return sum([await client.request(ECHO) == ECHO for _ in range(times)])


@asynccontextmanager
async def never_falling(seen: Seen) -> AsyncIterator[None]:
    """Scrapes all the time: nothing that counts falls."""
    before: Samples = {}
    scrapes = 0

    async def look() -> None:
        nonlocal before, scrapes
        now = await seen.metrics()
        for key, value in before.items():
            name = key[0]
            if name.startswith("guardian_") and name.endswith(("_total", "_bucket", "_count")):
                assert name == "guardian_worker_cpu_seconds_total" or now.get(key, 0.0) >= value, key
        before, scrapes = now, scrapes + 1

    async with trio.open_nursery() as nursery:

        async def scrape() -> None:
            while True:
                await look()
                await trio.sleep(0.1)

        nursery.start_soon(scrape)
        yield
        nursery.cancel_scope.cancel()
    await look()
    assert scrapes > 3


async def test_all_that_is_seen_and_done_is_of_both_workers(pki: PkiFiles, tmp_path: Path) -> None:
    """One proxy for all of it: three processes take seconds to start."""
    record = tmp_path / "audit.log"
    device = SimulatedDevice("hsm1", tls=device_tls(pki, "hsm1"))
    async with crew(pki, tmp_path, device, {}, f"audit: {{file: {record}}}\n") as serving:
        seen = Seen(serving)
        clients = await serving.clients_of_all()
        await who_looks_on_sees_both(seen, clients)
        await what_an_operator_wants_reaches_both(seen, clients)
        await counts_are_exact_also_when_a_worker_is_killed(seen, clients)
        serving.leave()
        serving.proxy.send(signal.SIGTERM)
        with trio.fail_after(30):
            assert await serving.proxy.process.wait() == 0
        await the_record_is_whole(seen, record)


async def who_looks_on_sees_both(seen: Seen, clients: list[ExcryptClient]) -> None:
    assert len((await seen.get("/clients")).json["clients"]) == len(clients)
    async with await trio.open_tcp_stream(*seen.serving.proxy.admin) as stream:
        await stream.send_all(b"GET /tail?command=ECHO HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in await stream.receive_some()
        await trio.sleep(0.3)
        await seen.status()  # so both have heard of it: they hear things in their order
        for client in clients:
            assert await say(client) == 1
        told = b""
        with trio.fail_after(30):
            while told.count(b'"completion"') < len(clients):
                told += await stream.receive_some()
    workers = [json.loads(line)["completion"] % 100 for line in told.splitlines() if line.startswith(b"{")]
    assert set(workers) == {1, 2}
    assert len(workers) == len(clients)


async def what_an_operator_wants_reaches_both(seen: Seen, clients: list[ExcryptClient]) -> None:
    done = await seen.command("device", "maint", "payments/hsm1", "--wait")
    assert done.returncode == 0, done
    for client in clients:  # the only device is out
        assert b"AM902;" in await client.request(ECHO)
    refused = await ask(seen.bind, "GET", "/readyz")
    assert (refused.status, "hsm1" in refused.body.decode()) == (503, True)
    done = await seen.command("device", "ready", "payments/hsm1", "--wait")
    assert done.returncode == 0, done
    with trio.fail_after(30):
        for client in clients:
            while await client.request(ECHO) != ECHO:
                await trio.sleep(0.05)


async def counts_are_exact_also_when_a_worker_is_killed(seen: Seen, clients: list[ExcryptClient]) -> None:
    serving = seen.serving
    sent = await seen.answered()
    before = await seen.metrics_of(sent)
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(say, client, _ROUNDS)
    sent += len(clients) * _ROUNDS
    async with never_falling(seen):
        assert await seen.answered() == sent
        now = await seen.metrics_of(sent)
        for histogram in ("guardian_request_duration_seconds_count", "guardian_proxy_duration_seconds_count"):
            assert counted(now, histogram) - counted(before, histogram) == len(clients) * _ROUNDS
        assert counted(now, "guardian_client_connections", listener="excrypt") == len(clients)
        by_worker = [counted(now, "guardian_worker_connections", worker=number) for number in "12"]
        assert sum(by_worker) == len(clients)
        assert min(by_worker) >= 2
        assert counted(now, "guardian_worker_up") == 2
        old = serving.pids
        os.kill(old[1], signal.SIGKILL)
        await serving.until(lambda: serving.pids[1] != old[1])
        for client in clients:
            try:
                sent += await say(client)
            except Closed:
                sent += await say(await serving.client())
        assert await seen.answered() == sent
        now = await seen.metrics_of(sent)
        assert counted(now, "guardian_worker_up") == 2
        assert counted(now, "guardian_worker_restarts_total") == 1
    status = await seen.status()
    assert [(worker["number"], worker["up"], worker["restarts"]) for worker in status["workers"]] == [
        (1, True, 1), (2, True, 0),
    ]  # fmt: skip
    assert {worker["pid"] for worker in status["workers"]} == set(serving.pids.values())
    host, port = serving.proxy.admin
    async with open_websocket(host, port, "/feed", use_ssl=False) as socket:
        await socket.get_message()
        state = json.loads(await socket.get_message())["state"]
    assert state["groups"]["payments"]["commands"]["ECHO"]["outcomes"]["ok"] == sent
    assert {number: worker["up"] for number, worker in state["workers"].items()} == {"1": True, "2": True}


async def the_record_is_whole(seen: Seen, record: Path) -> None:
    """What an operator did stands in it once, and what each worker found of the device with its number."""
    checked = await seen.command("audit", "verify", str(record))
    assert checked.returncode == 0, checked
    records = [json.loads(line) for line in record.read_text().splitlines()]
    assert [each["result"] for each in records if each["kind"] == "will"] == ["maint", "ready"]
    found = [each["detail"] for each in records if each["kind"] == "device" and each["result"] == "up"]
    assert {detail.rpartition(", ")[2] for detail in found} == {"worker 1", "worker 2"}
    assert {"serving", "lost"} == {each["result"] for each in records if each["kind"] == "worker"}
