"""The story: set up, send traffic, kill a device, bring it back, sum up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import attrs
import trio

from .admin import Admin
from .client import Client, Unanswered
from .configuration import DEVICES, GROUP, VICTIM
from .programs import ProgramFailed, Programs
from .screen import Screen
from .stage import Stage
from .summary import print_summary
from .tally import Tally, percentile
from .traffic import Keys, Traffic, make_keys
from .watch import Watch

_KILL_AT: Final = 0.3  # of the time that there is traffic
_RESTART_AT: Final = 0.6
_TRAFFIC_LEAST: Final = 0.6  # of the whole time, however long it took to set the stage
_TELL_EVERY: Final = 2.5


@attrs.define(eq=False)
class Play:
    folder: Path
    screen: Screen
    seconds: float = attrs.field(kw_only=True)
    clients: int = attrs.field(kw_only=True)
    stay: bool = attrs.field(kw_only=True)
    slow: str | None = attrs.field(kw_only=True, default=None)  # a device's name
    workers: int = attrs.field(kw_only=True, default=1)
    finished: bool = attrs.field(default=False, init=False)  # the summary is printed
    succeeded: bool = attrs.field(default=False, init=False)  # and no read failed

    async def run(self) -> None:
        """Raises ProgramFailed, perhaps in a group. All programs are ended, also when this is cancelled."""
        began_at = trio.current_time()
        async with Programs(self.folder) as programs:
            stage = Stage(self.folder, programs, self.screen, self.slow, self.workers)
            await stage.make_pki()
            await stage.start_devices()
            proxy, admin = await stage.start_proxy()
            traffic = Traffic(await stage.listener(admin), stage.client_tls())
            keys = await self._keys(traffic)
            watch = Watch(admin, self.screen.say)
            began = time.monotonic()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch.run)
                nursery.start_soon(self._tell, traffic.tally)
                async with trio.open_nursery() as working:
                    working.start_soon(traffic.run, self.clients, keys)
                    self.screen.say(f"{self.clients} clients send requests and verify every answer")
                    rest = began_at + self.seconds - trio.current_time()
                    await self._failover(stage, watch, max(rest, self.seconds * _TRAFFIC_LEAST))
                    if not proxy.running:
                        raise proxy.failure("has ended")
                    if self.stay:
                        await self._until_interrupted(admin, traffic, watch, began)
                    traffic.stop()
                nursery.cancel_scope.cancel()
            await self._sum_up(admin, traffic, watch, began)

    async def _keys(self, traffic: Traffic) -> Keys:
        """The keys of all clients, made on the devices. The tally begins anew afterwards."""
        client = Client(0, traffic.address, traffic.tls, traffic.tally)
        try:
            keys = await make_keys(client)
        except Unanswered as exc:
            raise ProgramFailed(f"the devices made no keys: {', '.join(traffic.tally.reasons)}") from exc
        finally:
            await client.close()  # noqa: ASYNC102 - it shields itself
        traffic.tally = Tally()
        self.screen.say("made an EC key, agreed an AES key and made an RSA key through the proxy")
        return keys

    async def _failover(self, stage: Stage, watch: Watch, seconds: float) -> None:
        """Takes as long as that."""
        began = trio.current_time()
        await trio.sleep_until(began + seconds * _KILL_AT)
        stage.devices[VICTIM].kill()
        watch.killed = time.monotonic()
        self.screen.say(f"{VICTIM} is killed (SIGKILL)", "bad")
        await trio.sleep_until(began + seconds * _RESTART_AT)
        victim = next(device for device in DEVICES if device.name == VICTIM)
        await stage.start_device(victim)
        watch.restarted = time.monotonic()
        self.screen.say(f"{VICTIM} is started again")
        await trio.sleep_until(began + seconds)

    async def _until_interrupted(self, admin: Admin, traffic: Traffic, watch: Watch, began: float) -> None:
        await self._sum_up(admin, traffic, watch, began)
        self.screen.plain(f"\nThe traffic goes on. Dashboard: {admin.url}/   Ctrl-C ends it.", "good")
        self.screen.plain(
            f"In another shell: export GUARDIAN_ADMIN={admin.url}, and guardian top, show, tail, device ..."
        )
        self.screen.plain(f"Who did what: guardian audit show {self.folder / 'audit.log'}")
        await trio.sleep_forever()

    async def _sum_up(self, admin: Admin, traffic: Traffic, watch: Watch, began: float) -> None:
        devices = await admin.devices(GROUP)
        print_summary(self.screen, traffic.tally, watch, devices, time.monotonic() - began)
        self.finished = True
        self.succeeded = traffic.tally.failed_reads == 0 and traffic.tally.reads > 0

    async def _tell(self, tally: Tally) -> None:
        """How it goes, now and then."""
        while True:
            before = len(tally.seconds)
            await trio.sleep(_TELL_EVERY)
            recent = tally.seconds[before:]
            p50, p99 = (percentile(recent, share) * 1000 for share in (0.5, 0.99))
            text = f"{len(recent) / _TELL_EVERY:5.0f} requests/s   p50 {p50:.1f} ms   p99 {p99:.1f} ms"
            self.screen.say(f"{text}   errors {tally.errors}", "bad" if tally.errors else "quiet")
