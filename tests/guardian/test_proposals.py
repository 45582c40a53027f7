"""What is proposed from what was seen, how sure it is, and that it can be pasted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from balancer.snapshot import Outcome
from config import model
from config.loader import Loaded
from guardian.learning import Learning, Who
from guardian.proposals import Proposal, as_yaml, propose
from tests.support.configs import load_text
from tests.support.traffic import APP, FAILED, NOBODY, VAULT, Watched, failed, ok

LOGIN = ok("RKLG", b"DAu;CHp;", b"ANY;")
DENIED = ok("RKLG", b"DAu;CHp;", b"ANN;")


def only(watched: Watched, key: str) -> Proposal:
    [found] = [proposal for proposal in propose(watched.learning) if proposal.key == key]
    return found


def pasted(folder: Path, text: str) -> Loaded:
    """A configuration with these lines in its group. Keys that the model does not have are left out."""
    known = {field.name for field in attrs.fields(model.Group)}
    head, _, rest = text.partition("\n  - name: payments\n")
    assert head == "groups:"
    lines = [line for line in rest.splitlines() if line.split(":")[0].strip() in known or line.startswith("      ")]
    return load_text(
        folder,
        'listeners: [{name: a, bind: "127.0.0.1:0", group: payments, tls: {mode: clear}}]\ngroups:\n'
        "  - name: payments\n    tls: {mode: clear}\n"
        + "\n".join(lines)
        + '\n    devices: [{name: d1, address: "hsm1:9100", role: primary}]\n',
    )


class TestLogin:
    def test_a_known_login_that_comes_first_and_unlocks_is_sure(self) -> None:
        watched = Watched()
        for _ in range(3):
            watched.connection(VAULT, LOGIN, ok("GPKM"))
        watched.connection(VAULT, failed("GPKM"), LOGIN, ok("GPKM"))
        found = only(watched, "sessions")
        assert found.sure == "sure"
        assert found.yaml == (
            'sessions: {login: [{command: RKLG, success: {tag: AN, value: "Y"}}], logins_required: 1}',
        )
        assert "RKLG (a known login) came first on 3 of 4 connections watched from their start" in found.reasons
        assert "GPKM failed before RKLG and succeeded after it" in found.reasons

    def test_an_unknown_command_is_found_by_what_it_does(self) -> None:
        watched = Watched()
        for _ in range(3):
            watched.connection(VAULT, ok("ZZ12", b"CHx;", b"QQS;BBT;"), ok("GPKM"))
        watched.connection(VAULT, failed("GPKM"), ok("ZZ12", b"", b"QQF;"), failed("GPKM"))
        watched.connection(VAULT, failed("GPKM"), ok("ZZ12", b"", b"QQS;"), ok("GPKM"))
        found = only(watched, "sessions")
        assert found.sure == "sure"
        assert found.yaml is not None
        assert '{command: ZZ12, success: {tag: QQ, value: "S"}}' in found.yaml[0]

    def test_without_a_failure_before_it_is_only_likely_and_less_often_a_guess(self) -> None:
        watched = Watched().connection(VAULT, LOGIN, ok("GPKM"))
        assert only(watched, "sessions").sure == "guess"
        watched.connection(VAULT, LOGIN, ok("GPKM")).connection(VAULT, LOGIN, ok("GPKM"))
        assert only(watched, "sessions").sure == "likely"

    def test_it_need_not_come_first_to_be_sure(self) -> None:
        watched = Watched()
        for times in range(1, 4):
            watched.connection(VAULT, failed("GPKM"), LOGIN, ok("GPKM"))
            assert only(watched, "sessions").sure == ("sure" if times == 3 else "likely")

    def test_success_is_what_success_follows_however_rare(self) -> None:
        watched = Watched()
        for _ in range(5):
            watched.connection(VAULT, DENIED, failed("GPKM"))
        watched.connection(VAULT, LOGIN, ok("GPKM"))
        yaml = only(watched, "sessions").yaml
        assert yaml is not None
        assert 'tag: AN, value: "Y"' in yaml[0]

    def test_without_a_letter_nothing_is_made_up(self) -> None:
        watched = Watched().connection(VAULT, ok("RKLG", b"", b"JWtoken;"), ok("GPKM"))
        found = only(watched, "sessions")
        assert found.yaml is None
        assert "no answer to RKLG had a single letter as a status: name its success yourself" in found.reasons

    def test_two_logins_at_the_start_are_two_identities(self) -> None:
        watched = Watched()
        for _ in range(3):
            watched.connection(VAULT, LOGIN, LOGIN, ok("GPKM"))
        yaml = only(watched, "sessions").yaml
        assert yaml is not None
        assert "logins_required: 2" in yaml[0]

    def test_an_unknown_command_in_the_middle_is_no_login(self) -> None:
        watched = Watched().connection(VAULT, ok("ECHO"), ok("ZZZ9", b"", b"QQS;"), ok("ECHO"))
        found = only(watched, "sessions")
        assert (found.sure, found.yaml) == ("not seen", None)
        assert found.reasons[0].startswith("ZZZ9 is unknown, but nothing speaks for a login")

    def test_without_any_it_is_not_seen(self) -> None:
        found = only(Watched().connection(VAULT, ok("ECHO")), "sessions")
        assert (found.sure, found.yaml) == ("not seen", None)


class TestContext:
    def test_always_repeated(self) -> None:
        watched = Watched().connection(VAULT, *[ok("ECHO", b"AGx;", b"AGx;")] * 19)
        assert (only(watched, "context").sure, only(watched, "context").yaml) == ("guess", ("context: verify",))
        watched.connection(VAULT, ok("ECHO", b"AGx;", b"AGx;"))
        assert only(watched, "context").sure == "likely"
        assert "20 of 20 answers repeated AG (ECHO)" in only(watched, "context").reasons
        assert "bear out inject" in only(watched, "context").reasons[1]
        watched.learning.pipeline.misfits = 2
        assert only(watched, "context").sure == "guess"
        assert "2 requests were lost" in only(watched, "context").reasons[1]

    def test_not_always(self) -> None:
        watched = Watched().connection(VAULT, ok("ECHO", b"AGx;", b"AGx;"), ok("RAND", b"AGx;", b""))
        found = only(watched, "context")
        assert (found.sure, found.yaml) == ("sure", ("context: off",))
        assert found.reasons == ("1 of 2 answers did not repeat AG (RAND)",)

    def test_never_asked(self) -> None:
        found = only(Watched().connection(VAULT, ok("ECHO")), "context")
        assert (found.sure, found.yaml) == ("not seen", None)


class TestPipeline:
    @pytest.mark.parametrize(
        ("facts", "sure", "yaml"),
        [
            ({}, "not seen", None),
            ({"looks": 500}, "not seen", None),
            ({"allowed": 4, "looks": 500}, "not seen", None),
            ({"allowed": 4, "looks": 500, "several": 3, "most": 2}, "guess", ("# devices: [..., pipeline: 2]",)),
            ({"allowed": 4, "looks": 500, "several": 30, "most": 4}, "likely", ("# devices: [..., pipeline: 4]",)),
            (
                {"allowed": 4, "looks": 500, "several": 30, "most": 4, "misfits": 1},
                "likely",
                ("# devices: [..., pipeline: 1]",),
            ),
        ],
    )
    def test_only_what_was_seen(self, facts: dict[str, int], sure: str, yaml: tuple[str, ...] | None) -> None:
        watched = Watched()
        for name, value in facts.items():
            setattr(watched.learning.pipeline, name, value)
        assert (only(watched, "pipeline").sure, only(watched, "pipeline").yaml) == (sure, yaml)


class TestClients:
    def test_an_allow_list_of_what_devices_answered(self) -> None:
        watched = Watched().connection(
            VAULT, ok("ECHO"), ok("12AB"), failed("GPKM"), (b"[AOGPKD;]", None), ok("RAND"), failed("ECHO")
        )
        found = only(watched, "clients")
        assert found.yaml == (
            '- {match: {common_name: "vault-1"}, functions: {mode: detect, allow: ["12AB", ECHO, RAND]}}',
        )
        assert '"vault-1": 6 requests on 1 connections' in found.reasons
        assert "left out, for devices only answered errors: GPKM" in found.reasons
        assert "left out, for no device answered: GPKD" in found.reasons

    def test_few_requests_are_a_guess(self) -> None:
        watched = Watched().connection(VAULT, *[ok("ECHO")] * 19)
        assert only(watched, "clients").sure == "guess"
        assert only(watched.connection(VAULT, ok("ECHO")), "clients").sure == "likely"

    def test_certificates_of_one_name_are_one_client(self) -> None:
        other = Who("vault-1", "sha256:" + "ef" * 32, None)
        watched = Watched().connection(VAULT, ok("ECHO")).connection(other, ok("RAND"))
        yaml = only(watched, "clients").yaml
        assert yaml is not None
        assert "allow: [ECHO, RAND]" in yaml[0]

    @pytest.mark.parametrize("name", [None, "", "a\nb", "${env:HOME}", "\x1b[2J", "x" * 300])
    def test_a_name_that_cannot_be_written_is_left_to_the_fingerprint(self, name: str | None) -> None:
        who = Who(name, "sha256:" + "ab" * 32, None)
        yaml = only(Watched().connection(who, ok("ECHO")), "clients").yaml
        assert yaml is not None
        assert f'match: {{fingerprint: "sha256:{"ab" * 32}"}}' in yaml[0]

    def test_who_shows_no_certificate_cannot_be_named(self) -> None:
        found = only(Watched().connection(NOBODY, ok("ECHO")), "clients")
        assert (found.sure, found.yaml) == ("not seen", None)
        assert "no rule can name it" in found.reasons[-1]

    def test_nothing_is_allowed_to_who_did_nothing(self) -> None:
        assert only(Watched().connection(VAULT, failed("ECHO")), "clients").yaml is None


def full() -> Watched:
    watched = Watched()
    for who in (VAULT, APP, NOBODY, Who('Bob "the" #1: ü', "sha256:" + "0f" * 32, None)):
        watched.connection(who, LOGIN, ok("GPKM", b"AG1;", b"AG1;"), ok("1E10"), failed("RSAS"), ok("NULL"))
    return watched


def test_it_can_be_pasted(tmp_path: Path) -> None:
    found = pasted(tmp_path, as_yaml("payments", propose(full().learning)))
    assert found.errors == ()
    assert found.config is not None
    [group] = found.config.groups
    assert group.context is model.Context.VERIFY
    assert [rule.match.common_name for rule in group.clients] == ['Bob "the" #1: ü', "app-2", "vault-1"]
    assert group.clients[0].functions == model.Functions(
        mode=model.FunctionsMode.DETECT, allow=("1E10", "GPKM", "NULL", "RKLG")
    )


def test_all_reasons_stand_above_their_lines() -> None:
    text = as_yaml("payments", propose(full().learning))
    lines = text.splitlines()
    at = lines.index("    context: verify")
    assert lines[at - 2].startswith("    # context, guess: 4 of 4 answers repeated AG")
    assert all(line.startswith(("groups:", "  - name", "    ")) for line in lines)
    assert sum(line.strip() == "clients:" for line in lines) == 1


def test_nothing_seen_is_nothing_proposed(tmp_path: Path) -> None:
    proposals = propose(Learning())
    assert {(proposal.sure, proposal.yaml) for proposal in proposals} == {("not seen", None)}
    assert pasted(tmp_path, as_yaml("payments", proposals)).errors == ()


def test_letters_other_than_a_logins_success_are_not_told() -> None:
    watched = Watched().connection(VAULT, ok("ECHO", b"", b"QQX;"), (b"[AOGPKM;]", FAILED), LOGIN)
    told: list[Any] = [proposal.yaml for proposal in propose(watched.learning)]
    assert "X" not in str(told)
    assert Outcome.OK.value in watched.learning.clients[VAULT].codes[b"ECHO"].outcomes
