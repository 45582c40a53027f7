"""Everything that is wrong with a client's file, together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from config.fxpkcs11 import parse
from config.fxpkcs11_tags import TOKENS, check_form
from config.model import Bind, Config
from config.problems import WHOLE_FILE, Problem

from .offer import Offer
from .permission import check_permission
from .place import check_balanced, check_place, find_offer
from .protection import check_own, check_protection
from .token import Token, read_token

_LARGEST: Final = 1_048_576  # bytes; real files have a few hundred


@attrs.frozen(kw_only=True)
class Examined:
    """``tokens``: each with the listener it reaches, where that is known."""

    tokens: tuple[tuple[Token, Offer | None], ...] = ()
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)


def examine(
    path: Path,
    *,
    now: float,
    proxy: tuple[Config, Sequence[Offer]] | None = None,
    address: Bind | None = None,
    wanted: tuple[str, ...] = (),
) -> Examined:
    """Read a client's file and judge it, at ``now`` (Unix time). Never raises for what is in it.

    ``proxy``: its configuration and what its listeners offer; without it only what is wrong by itself is found.
    ``address``: where the proxy is said to be. ``wanted``: integrations that must work.
    """
    text = read_text(path)
    if isinstance(text, Problem):
        return Examined(problems=(text,))
    file = parse(text)
    problems = list(check_form(str(path), file))
    tokens = []
    for section in file.sections:
        if section.name not in TOKENS:
            continue
        token = read_token(str(path), section)
        offer = find_offer(token, proxy[1]) if proxy is not None else None
        tokens.append((token, offer))
        problems += check_balanced(token)
        problems += _elsewhere(token, address) if address is not None else ()
        problems += check_own(token, now)
        if proxy is not None:
            problems += check_place(token, *proxy, offer)
        elif section.get("ADDRESS") is None:
            problems.append(token.problem("is missing, must be the host of the proxy's listener", "ADDRESS"))
        if offer is not None:
            problems += check_protection(token, offer, now)
            problems += check_permission(token, offer, wanted)
    found = {(problem.line, problem.path, problem.message): problem for problem in problems}
    return Examined(tokens=tuple(tokens), problems=tuple(sorted(found.values(), key=lambda problem: problem.line)))


def _elsewhere(token: Token, address: Bind) -> Iterator[Problem]:
    if token.address and token.address.lower() != address.host.lower():
        yield token.problem(f"is {token.address}, must be {address.host}, where the proxy is", "ADDRESS")
    if token.port != address.port:
        yield token.problem(f"is {token.port}, must be {address.port}, the proxy's port", "PROD-PORT", "ADDRESS")


def read_text(path: Path) -> str | Problem:
    """The text, with whatever is no UTF-8 kept; or why it cannot be read."""

    def wrong(message: str) -> Problem:
        return Problem(file=str(path), line=1, path=WHOLE_FILE, message=message)

    try:
        if path.exists() and not path.is_file():
            return wrong("is no regular file, must be a readable fxpkcs11.cfg")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "no file can have that name"
        return wrong(f"cannot be read ({reason}), must be a readable fxpkcs11.cfg")
    if len(data) > _LARGEST:
        return wrong("has more than 1 MiB: no fxpkcs11.cfg is that long")
    return data.decode("utf-8", "surrogateescape")
