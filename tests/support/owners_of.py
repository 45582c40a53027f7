"""Which process has a connection: who is killed must be the one with the write, and clients must be spread."""

from __future__ import annotations

import os
from pathlib import Path

_ESTABLISHED = "01"


def connections(pid: int) -> list[tuple[int, int]]:
    """Ports, ours and theirs, of the established IPv4 connections of a process; empty where it is gone."""
    inodes = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return []
    found = []
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _ESTABLISHED and fields[9] in inodes:
            found.append((int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16)))
    return found
