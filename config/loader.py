"""A configuration file to a `Config`, or to everything that is wrong with it, in one run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import attrs

from . import yaml_source
from .catalogue import load_catalogue
from .model import Config
from .problems import WHOLE_FILE, Place, Problem, Report
from .semantics import check
from .structure import Reader

__all__ = ["Loaded", "Problem", "load"]


@attrs.frozen(kw_only=True)
class Loaded:
    """``config`` is None exactly when a problem is an error; warnings alone do not stop a start."""

    config: Config | None
    problems: tuple[Problem, ...]
    source: yaml_source.Mapping | None = attrs.field(default=None, repr=False)  # the file as it was written
    text: str = attrs.field(default="", repr=False)  # the same, as it was read
    digest: str = attrs.field(default="", repr=False)  # of its text, and of the catalogue it names

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def load(
    path: Path,
    read_files: bool = False,
    *,
    environment: Mapping[str, str] | None = None,
    now: datetime | None = None,
    text: str | None = None,
) -> Loaded:
    """Read and check a configuration. Never raises for what is in the file, nor for what is not there.

    ``read_files`` also reads every certificate, key, CRL and secret that the file names, and checks dates against
    ``now`` (aware; by default the clock). ``environment`` is what ``${env:NAME}`` takes from, by default the
    process's. A file named by ``catalogue:`` is always read, because function rules may use what it adds; its
    problems carry its own name. ``text``: what the file says, from who has read it; then it is not read.
    """
    report = Report(str(path))
    try:
        folder = path.absolute().parent
    except (OSError, ValueError) as exc:
        report.error(Place(WHOLE_FILE, 1), f"cannot be read ({exc}), must be a readable YAML file")
        return Loaded(config=None, problems=report.problems())
    text = yaml_source.read_file(path, report) if text is None else text
    root = yaml_source.parse(text, report) if text is not None else None
    if root is None:
        return Loaded(config=None, problems=report.problems())
    reader = Reader(report, folder, os.environ if environment is None else environment)
    if root.tag is not None:
        report.error(Place(WHOLE_FILE, root.line), "has a tag at the top level, tags are not read: remove it")
    draft = reader.section(Config, root, Place("", 1))
    catalogue, foreign = load_catalogue(draft.values.get("catalogue"))
    check(draft, catalogue, report)
    if read_files:
        from .files import check_files  # noqa: PLC0415 (cryptography is slow to import, and not always needed)

        check_files(draft, report, datetime.now(UTC) if now is None else now)
    problems = (*report.problems(), *(report.redacted(problem) for problem in foreign))
    if any(problem.severity == "error" for problem in problems):
        return Loaded(config=None, problems=problems)
    config = draft.build()
    return Loaded(
        config=config, problems=problems, source=root, text=text or "", digest=_digest(text or "", config.catalogue)
    )


def _digest(text: str, catalogue: Path | None) -> str:
    """Two processes that say the same run on the same functions, devices and catalogue."""
    found = hashlib.sha256(text.encode(errors="backslashreplace"))
    if catalogue is not None:
        with suppress(OSError):  # it has gone since it was read: another digest than that of who has read it
            found.update(b"\0" + catalogue.read_bytes())
    return found.hexdigest()
