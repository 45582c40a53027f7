"""Configuration that the traffic bears out, with reasons and how sure it is. Pure.

A proposal is what was seen, not what is right: a job that runs once a year was not seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, Literal

import attrs

from .learning import ClientSeen, Learning, LoginSeen, PipelineSeen, Status, Who

Sure = Literal["sure", "likely", "guess", "not seen"]
ENOUGH: Final = 20  # requests, or looks, from which on something is likely rather than a guess
_CONNECTIONS: Final = 3  # connections that began alike, from which on it is no chance
_KNOWN_LOGIN: Final = "RKLG"
_YAML_WORDS: Final = frozenset({"NULL", "TRUE", "ON", "NO"})
_PUBLIC_STATUS: Final[Status] = (b"AN", b"Y")  # what is public of RKLG's success


@attrs.frozen(kw_only=True)
class Proposal:
    """``yaml``: lines for the group's section, at its indentation; None where there is nothing to set."""

    key: str
    sure: Sure
    yaml: tuple[str, ...] | None
    reasons: tuple[str, ...]


def propose(learning: Learning) -> tuple[Proposal, ...]:
    """For one group. Texts name codes, tags, numbers and certificates, and of answers to logins one letter."""
    return (*_logins(learning), *_context(learning), *_pipeline(learning.pipeline), *_clients(learning))


def as_yaml(group: str, proposals: tuple[Proposal, ...]) -> str:
    """A section to paste, with each reason as a comment above its line."""
    lines = ["groups:", f"  - name: {group}"]
    headed = False
    for proposal in proposals:
        indent = " " * 4
        if proposal.key == "clients":
            if not headed and proposal.yaml:
                lines.append("    clients:")
                headed = True
            indent = " " * 6
        lines += [f"{indent}# {proposal.key}, {proposal.sure}: {proposal.reasons[0]}"]
        lines += [f"{indent}#   {reason}" for reason in proposal.reasons[1:]]
        lines += [f"{indent}{line}" for line in proposal.yaml or ()]
    return "\n".join(lines) + "\n"


# --- sessions ---------------------------------------------------------------------------------------------------


def _logins(learning: Learning) -> Iterator[Proposal]:
    watched = sum(client.from_start for client in learning.clients.values())
    found = sorted(learning.logins.values(), key=lambda login: (-len(login.unlocked), -login.first, login.code))
    proposed = [login for login in found if login.answered and (login.unlocked or login.first or login.known)]
    for login in found:
        if login not in proposed:
            yield Proposal(
                key="sessions", sure="not seen", yaml=None,
                reasons=(f"{login.code} is unknown, but nothing speaks for a login; a client that sends it is pinned",),
            )  # fmt: skip
    if not found:
        yield Proposal(
            key="sessions", sure="not seen", yaml=None,
            reasons=("no login and no unknown command came", "what logs in by its certificate alone sends none"),
        )  # fmt: skip
    if not proposed:
        return
    reasons: list[str] = []
    entries: list[str] = []
    for login in proposed:
        status = _success(login)
        reasons += _login_reasons(login, status, watched)
        if status is not None:
            tag, letter = (part.decode("ascii") for part in status)
            entries.append(f'{{command: {_quoted(login.code)}, success: {{tag: {_quoted(tag)}, value: "{letter}"}}}}')
    best = proposed[0]
    sure: Sure = "guess"
    if best.unlocked and max(best.first, *best.unlocked.values()) >= _CONNECTIONS:
        sure = "sure" if _success(best) in best.unlocking else "likely"
    elif best.unlocked or best.first >= _CONNECTIONS:
        sure = "likely"
    twice = max(login.repeated for login in proposed)
    required = 2 if twice * 2 > max(best.first, 1) else 1
    if required == 2:
        reasons.append(f"it came twice at the start of {twice} connections: two identities log in (FIPS mode)")
    yaml = (f"sessions: {{login: [{', '.join(entries)}], logins_required: {required}}}",) if entries else None
    yield Proposal(key="sessions", sure=sure if entries else "guess", yaml=yaml, reasons=tuple(reasons))


def _success(login: LoginSeen) -> Status | None:
    """What its answer says where it worked: what unlocked others, else what was followed by success."""

    def weight(status: Status) -> tuple[int, float, bool, int, bool]:
        ok, error = login.after_ok.get(status, 0), login.after_error.get(status, 0)
        public = login.code == _KNOWN_LOGIN and status == _PUBLIC_STATUS
        share = ok / (ok + error) if ok + error else 0.0
        return login.unlocking.get(status, 0), share, public, login.statuses[status], status[0] == b"AN"

    return max(sorted(login.statuses), key=weight, default=None)


def _login_reasons(login: LoginSeen, status: Status | None, watched: int) -> Iterator[str]:
    kind = "a known login" if login.known else "not in the catalogue"
    yield f"{login.code} ({kind}) came first on {login.first} of {watched} connections watched from their start"
    if login.unlocked:
        yield f"{', '.join(sorted(login.unlocked))} failed before {login.code} and succeeded after it"
    else:
        yield f"no command was seen to fail before {login.code} and to succeed after it"
    if status is None:
        yield f"no answer to {login.code} had a single letter as a status: name its success yourself"
        return
    tag, letter = (part.decode("ascii") for part in status)
    ok, error = login.after_ok.get(status, 0), login.after_error.get(status, 0)
    yield (
        f"{login.statuses[status]} of {login.answered} answers had {tag} = {letter}; "
        f"what came next succeeded {ok} times and failed {error} times"
    )


# --- context and pipeline ---------------------------------------------------------------------------------------


def _context(learning: Learning) -> Iterator[Proposal]:
    codes = [code for client in learning.clients.values() for code in client.codes.values() if code.context_asked]
    asked, repeated = (
        sum(code.context_asked for code in codes),
        sum(code.context_repeated for code in codes),
    )
    names = sorted({code.code for code in codes})
    misfits = learning.pipeline.misfits
    if not asked:
        yield Proposal(
            key="context", sure="not seen", yaml=None,
            reasons=("no answered request had AG", "verify only looks where a request has it: the default is safe"),
        )  # fmt: skip
        return
    if repeated < asked:
        silent = sorted({code.code for code in codes if code.context_repeated < code.context_asked})
        yield Proposal(
            key="context", sure="sure", yaml=("context: off",),
            reasons=(f"{asked - repeated} of {asked} answers did not repeat AG ({', '.join(silent)})",),
        )  # fmt: skip
        return
    reasons = [f"{repeated} of {asked} answers repeated AG ({', '.join(names)})"]
    if misfits:
        reasons.append(
            f"but {misfits} requests were lost to answers that fitted none, perhaps for want of AG: see the log"
        )
    else:
        reasons.append("no answer was refused meanwhile; the devices bear out inject for these commands too")
    sure: Sure = "likely" if asked >= ENOUGH and not misfits else "guess"
    yield Proposal(key="context", sure=sure, yaml=("context: verify",), reasons=tuple(reasons))


def _pipeline(seen: PipelineSeen) -> Iterator[Proposal]:
    if seen.allowed < 2:
        reason = "pipeline is 1 everywhere, so no connection ever had several requests outstanding"
        yield Proposal(
            key="pipeline", sure="not seen", yaml=None,
            reasons=(reason, "to find out, set pipeline: 2 on one device and learn again"),
        )  # fmt: skip
    elif not seen.several:
        yield Proposal(
            key="pipeline", sure="not seen", yaml=None,
            reasons=(f"in {seen.looks} looks no connection had two requests outstanding that differ",),
        )  # fmt: skip
    elif seen.misfits:
        yield Proposal(
            key="pipeline", sure="likely", yaml=("# devices: [..., pipeline: 1]",),
            reasons=(f"{seen.misfits} requests were lost to answers that fitted none: keep to 1",),
        )  # fmt: skip
    else:
        yield Proposal(
            key="pipeline", sure="likely" if seen.several >= ENOUGH else "guess",
            yaml=(f"# devices: [..., pipeline: {seen.most}]",),
            reasons=(
                f"{seen.several} times in {seen.looks} looks a connection had requests outstanding that differ",
                "in code or AG, and every answer fitted the oldest",
            ),
        )  # fmt: skip


# --- clients ----------------------------------------------------------------------------------------------------


def _clients(learning: Learning) -> Iterator[Proposal]:
    matches: dict[tuple[str, str], list[ClientSeen]] = {}
    for client in learning.clients.values():
        matches.setdefault(_match(client.who), []).append(client)
    for (key, value), clients in sorted(matches.items()):
        yield _allow_list(key, value, clients)


def _match(who: Who) -> tuple[str, str]:
    """What a rule would compare. Names that could mean something else in the file are left to the fingerprint."""
    name = who.common_name
    if name and name.isprintable() and "${" not in name and len(name) <= 256:
        return "common_name", name
    if who.fingerprint is not None:
        return "fingerprint", who.fingerprint
    return "address", who.address or "unknown"


def _allow_list(key: str, value: str, clients: list[ClientSeen]) -> Proposal:
    codes = [code for client in clients for code in client.codes.values()]
    used = sorted({code.code for code in codes if code.ok})
    failed = sorted({code.code for code in codes if code.errors} - set(used))
    refused = sorted({code.code for code in codes} - set(used) - set(failed))
    requests = sum(code.requests for code in codes)
    named = json.dumps(value)
    reasons = [f"{named}: {requests} requests on {sum(client.connections for client in clients)} connections"]
    if failed:
        reasons.append(f"left out, for devices only answered errors: {', '.join(failed)}")
    if refused:
        reasons.append(f"left out, for no device answered: {', '.join(refused)}")
    if key == "address":
        reasons.append("it shows no certificate, so no rule can name it; such clients have the rules of the group")
        return Proposal(key="clients", sure="not seen", yaml=None, reasons=tuple(reasons))
    if not used:
        return Proposal(key="clients", sure="not seen", yaml=None, reasons=tuple(reasons))
    reasons.append("what it needs rarely was not seen: watch would_block for a while before mode: enforce")
    rule = f"- {{match: {{{key}: {named}}}, functions: {{mode: detect, allow: [{', '.join(map(_quoted, used))}]}}}}"
    return Proposal(
        key="clients", sure="likely" if requests >= ENOUGH else "guess", yaml=(rule,), reasons=tuple(reasons)
    )


def _quoted(word: str) -> str:
    """A code or a tag as YAML text; quotes only where some reader might take it for a number or a truth."""
    return word if word[0].isalpha() and word not in _YAML_WORDS else f'"{word}"'


def as_facts(proposals: tuple[Proposal, ...]) -> list[Mapping[str, object]]:
    return [
        {
            "key": proposal.key,
            "sure": proposal.sure,
            "yaml": "\n".join(proposal.yaml) if proposal.yaml else None,
            "reasons": list(proposal.reasons),
        }
        for proposal in proposals
    ]
