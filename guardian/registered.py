"""Entry points of installed packages, read from their `entry_points.txt`.

`importlib.metadata` gives the same and takes 40 ms to import, a third of what `guardian --help` took.
"""

from __future__ import annotations

import os
import sys


def registered(group: str) -> dict[str, str]:
    """Name -> ``module:attribute``; where two packages register a name, the first on the path counts."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                packages = [entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
        except OSError:  # a zip file, or nothing
            continue
        for package in packages:
            for name, value in _points(os.path.join(package, "entry_points.txt"), group):
                found.setdefault(name, value)
    return found


def _points(path: str, group: str) -> list[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    points, ours = [], False
    for line in lines:
        text = line.strip()
        if text.startswith("["):
            ours = text == f"[{group}]"
        elif ours and "=" in text and not text.startswith("#"):
            name, _, value = text.partition("=")
            points.append((name.strip(), value.strip()))
    return points
