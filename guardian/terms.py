"""What a listener asks of its clients, and whether those it has may stay."""

from __future__ import annotations

import time

import attrs

from balancer.transport.peers import Peer, PeerRefused
from balancer.transport.tls import ServerSide
from config import model

from .functions import GroupRules
from .host import ClientSettings


@attrs.frozen(kw_only=True)
class Terms:
    """What a listener asks of its clients; replaced whole by a reload. ``tls`` is None for clear connections."""

    settings: model.Listener
    tls: ServerSide | None
    rules: GroupRules
    client: ClientSettings

    def recheck(self, peer: Peer | None) -> None:
        """Whether a client that was admitted on other terms may stay. Raises `PeerRefused`."""
        if self.tls is None or self.tls.policy is None:
            return
        if peer is None:
            raise PeerRefused("it came without a certificate, which the listener now asks for")
        self.tls.policy.recheck(peer, time.time())
