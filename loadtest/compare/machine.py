"""On what it was measured: figures without that are worth nothing."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _first_line(*command: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return (answer.stdout or answer.stderr).split("\n", 1)[0].strip()


def count_cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def _build() -> str:
    """Of the interpreter: without optimisation it is about 20 % slower on the hot path."""
    if sys.base_prefix == "/usr":
        return "the distribution's"  # which optimises by means of its own
    optimised = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return f"built {'with' if optimised else 'without'} --enable-optimizations"


def describe_machine(
    *, haproxy: str | None, guardian: Path | None, nginx: str | None = None
) -> Mapping[str, str | int]:
    """Processor, cores, system and versions. A proxy is given by its path, or None when it takes no part."""
    facts: dict[str, str | int] = {
        "processor": _processor(),
        "cores": count_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {_build()} ({sys.implementation.name})",
        "openssl": ssl.OPENSSL_VERSION,
    }
    if guardian is not None:
        facts["guardian"] = _first_line(str(guardian), "--version").removeprefix("guardian ")
    if haproxy is not None:
        facts["haproxy"] = _first_line(haproxy, "-v")
    if nginx is not None:
        facts["nginx"] = _first_line(nginx, "-v").removeprefix("nginx version: ")
    return facts
