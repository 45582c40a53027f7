"""Puts the compiled data path into the wheel where it can be compiled, and says so; else the wheel is plain Python.

Called by hatchling before it writes a wheel. What cannot be compiled runs interpreted, from the same sources, which are
in the wheel either way: a build fails only where GUARDIAN_COMPILE=1 asks for it.
Why: docs/adr/0005-compiled-data-path.md.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SWITCH: Final = "GUARDIAN_COMPILE"  # 0: do not; 1: fail where it cannot be done
_SOURCES: Final = ("balancer", "config", "guardian", "health")  # what the compiled modules import of ours
_COST: Final = "the same answers, at about 1.4 times the CPU for each request"


class CannotCompile(Exception):  # noqa: N818 - named for what it says
    """Why not, and what would help."""


class CompiledDataPath(BuildHookInterface[Any]):
    """``modules`` of its section in pyproject.toml are compiled; work is kept in `build/compiled/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # an extension beside a source would go on running after the source was changed
        work = Path(self.root, "build", "compiled")
        try:
            self._check()
            compiled = self._compile(work)
        except CannotCompile as why:
            if os.environ.get(_SWITCH) == "1":
                raise
            print(f"guardian: the data path will run interpreted ({_COST}): {why}", file=sys.stderr)
            return
        build_data["force_include"].update({str(work / "lib" / name): name for name in compiled})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        print("guardian: the data path is compiled", file=sys.stderr)

    def _check(self) -> None:
        """Raises CannotCompile."""
        if os.environ.get(_SWITCH) == "0":
            raise CannotCompile(f"{_SWITCH}=0 says so")
        if sys.implementation.name != "cpython":
            raise CannotCompile("this Python is not CPython")
        missing = [name for name in ("mypy", "mypyc", "setuptools") if importlib.util.find_spec(name) is None]
        if missing:
            raise CannotCompile(f"{' and '.join(missing)} cannot be imported; requirements-dev.lock has what is needed")
        compiler = (shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "") or ["cc"])[0]
        if shutil.which(compiler) is None:
            raise CannotCompile(f"there is no C compiler {compiler}; on Debian: apt-get install gcc python3-dev")
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise CannotCompile("Python's headers are not there; on Debian: apt-get install python3-dev")

    def _compile(self, work: Path) -> list[str]:
        """The extensions, as paths below `lib`; as they are there where nothing has changed. Raises CannotCompile."""
        key, done = self._key(), work / "key"
        if not (done.exists() and done.read_text() == key):
            done.unlink(missing_ok=True)
            shutil.rmtree(work / "lib", ignore_errors=True)
            for name in _SOURCES:
                shutil.rmtree(work / name, ignore_errors=True)
                shutil.copytree(Path(self.root, name), work / name, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy2(Path(self.root, "pyproject.toml"), work)  # mypy's settings
            self._run_compiler(work)
            done.write_text(key)
        lib = work / "lib"
        return [str(path.relative_to(lib)) for path in sorted(lib.rglob("*")) if path.is_file()]

    def _run_compiler(self, work: Path) -> None:
        log = work / "log"
        script = Path(__file__).with_name("compile.py")
        print("guardian: compiling the data path; this takes half a minute", file=sys.stderr)
        with log.open("wb") as output:
            command = [sys.executable, "-P", str(script), *self.config["modules"]]
            done = subprocess.run(  # noqa: S603 - of our own script
                command, cwd=work, stdout=output, stderr=output, check=False
            )
        if done.returncode:
            raise CannotCompile(f"compiling failed; {log} says why")

    def _key(self) -> str:
        """Changes with all that the result depends on."""
        chosen = [sys.version, self.config, os.environ.get("CC"), os.environ.get("CFLAGS")]
        digest = hashlib.sha256(repr(chosen).encode())
        for path in self._inputs():
            digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def _inputs(self) -> Iterator[Path]:
        for name in ("pyproject.toml", "requirements-dev.lock"):
            if (path := Path(self.root, name)).exists():
                yield path
        yield from sorted(Path(__file__).parent.glob("*.py"))
        for name in _SOURCES:
            yield from sorted(Path(self.root, name).rglob("*.py"))
