"""Compile modules with mypyc: `python compile.py MODULE.py ...` in a folder that holds copies of the sources.

The extensions come to lie in `lib/`, as they would in a wheel. A program of its own since mypyc ends its process when a
module does not pass. Setuptools is not run on the project: it would read pyproject.toml, which is hatchling's.
"""

from __future__ import annotations

import sys

from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext


def main(modules: list[str]) -> None:
    # One library for all of them: calls from one to the other are then calls in C.
    extensions = mypycify(modules, opt_level="3", debug_level="0", group_name="guardian", target_dir="c")
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib, command.build_temp = "lib", "o"
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main(sys.argv[1:])
