"""The supervisor binds each address once, or takes what was bound for it; a reload changes what it must and no more."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from config.loader import load
from config.model import Bind, Config
from guardian.sockets import Offered, OfferedSockets, listen
from guardian.workers.addresses import Addresses

ANY = Bind(host="127.0.0.1", port=0)


def config(folder: Path, **listeners: int) -> Config:
    """Of listeners by name, and their ports."""
    lines = "\n".join(
        f'  - {{name: {name}, bind: "127.0.0.1:{port}", group: payments, tls: {{mode: clear}}}}'
        for name, port in listeners.items()
    )
    file = folder / "guardian.yaml"
    file.write_text(
        f"listeners:\n{lines}\ngroups:\n  - name: payments\n    tls: {{mode: clear}}\n"
        '    devices: [{name: hsm1, address: "127.0.0.1:1", role: primary}]\n'
    )
    found = load(file).config
    assert found is not None
    return found


def free_port() -> int:
    with listen(ANY) as sock:
        return int(sock.getsockname()[1])


def test_what_stays_stays_and_what_is_new_is_bound(tmp_path: Path) -> None:
    addresses = Addresses(OfferedSockets())
    one, two = config(tmp_path, a=0), config(tmp_path, a=0, b=0)
    ((name, first),) = addresses.bind(one)
    assert name == "a"
    ((name, second),) = addresses.bind(two)
    assert name == "b"
    assert addresses.of(two) == [("a", first), ("b", second)]
    addresses.unbind([("b", second)])
    assert second.fileno() < 0
    assert addresses.of(one) == [("a", first)]
    addresses.bind(two)
    addresses.keep(one)
    assert list(addresses.shown(one)) == ["a"]
    with pytest.raises(KeyError):
        addresses.of(two)
    addresses.close()
    assert first.fileno() < 0


def test_an_address_that_is_taken_leaves_all_as_it_was(tmp_path: Path) -> None:
    addresses = Addresses(OfferedSockets())
    with listen(ANY) as taken:
        port, free = taken.getsockname()[1], free_port()
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: Address already in use"):
            addresses.bind(config(tmp_path, a=free, b=port))
        listen(Bind(host="127.0.0.1", port=free)).close()  # it was given back
    addresses.close()


def test_what_was_bound_for_us_is_taken(tmp_path: Path) -> None:
    ours, other = listen(ANY), listen(ANY)
    port = ours.getsockname()[1]
    offered = OfferedSockets([Offered(ours, "", moves=True), Offered(other, "nobody's", moves=True)])
    addresses = Addresses(offered)
    assert addresses.bind(config(tmp_path, a=port)) == [("a", ours)]
    (unused,) = addresses.close_unused()
    assert "nobody's" in unused
    assert isinstance(ours, socket.socket)
    addresses.close()
