"""A reload of all workers in two steps: what they need is bound and opened, all prepare, and then all adopt."""

from __future__ import annotations

from itertools import count

import trio

from config.loader import Loaded
from config.model import Config
from guardian.journal_file import Owners

from .addresses import Addresses, Bound
from .crew import Crew
from .orders import Orders
from .owned import let_go, open_owners


class Reloads:
    """The `Others` of a `Reloading`; it makes the first orders too."""

    def __init__(self, crew: Crew, addresses: Addresses, loaded: Loaded) -> None:
        """Binds and opens what the first configuration needs, and gives the crew its orders. Blocks. Raises OSError."""
        assert loaded.config is not None, "the caller has looked"
        self._crew = crew
        self._addresses = addresses
        self._numbers = count(1)
        self._config = loaded.config
        fresh = addresses.bind(loaded.config)
        self._owners = open_owners(loaded.config)
        crew.orders = self._orders(loaded, loaded.config, fresh, self._owners)
        self._next: tuple[Orders, Config] | None = None

    async def prepare(self, loaded: Loaded) -> None:
        """Raises OSError where one of them cannot: then nothing has changed."""
        config = loaded.config
        assert config is not None, "it is to be adopted"
        fresh = self._addresses.bind(config)
        try:
            owners = await trio.to_thread.run_sync(open_owners, config, self._owners, self._config)
        except OSError:
            self._addresses.unbind(fresh)
            raise
        orders = self._orders(loaded, config, fresh, owners)
        self._next = orders, config
        await self._crew.prepare(orders)

    def forget(self) -> None:
        """What was prepared is not to be."""
        if self._next is None:
            return
        orders, _ = self._next
        self._next = None
        self._crew.forget()
        self._addresses.unbind(orders.fresh_sockets)
        let_go(orders.owners, but=self._owners)

    async def adopt(self) -> None:
        """What was prepared is the running one now."""
        assert self._next is not None, "it was prepared"
        (orders, config), self._next = self._next, None
        before, self._owners, self._config = self._owners, orders.owners, config
        await self._crew.adopt(orders)
        self._addresses.keep(config)
        let_go(before, but=orders.owners)

    def _orders(self, loaded: Loaded, config: Config, fresh: Bound, owners: Owners) -> Orders:
        kept = self._owners
        return Orders(
            number=next(self._numbers),
            text=loaded.text,
            digest=loaded.digest,
            sockets=self._addresses.of(config),
            owners=owners,
            fresh_sockets=fresh,
            fresh_owners=Owners(
                files={path: fd for path, fd in owners.files.items() if path not in kept.files},
                memory={group: fd for group, fd in owners.memory.items() if group not in kept.memory},
            ),
        )
