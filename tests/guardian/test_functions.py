from __future__ import annotations

import attrs
import pytest

from balancer.command import CommandTable
from config.model import ClientRule, Functions, FunctionsMode, Group, Match
from guardian.functions import GroupRules, Rules
from tests.support.core import BOUNDS, CATALOGUE, device_settings, group_settings

ENFORCE, DETECT, OFF = FunctionsMode.ENFORCE, FunctionsMode.DETECT, FunctionsMode.OFF


@attrs.frozen
class Identity:
    common_name: str | None = None
    sans: tuple[str, ...] = ()
    fingerprint: str = "sha256:00"


def group(functions: Functions, **settings: object) -> Group:
    return group_settings(device_settings("a"), functions=functions, **settings)


def all_rules(settings: Group) -> GroupRules:
    return GroupRules(settings, CATALOGUE, CommandTable(CATALOGUE, BOUNDS))


def rules(functions: Functions) -> Rules:
    found = all_rules(group(functions)).of(None)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("allow", "block", "code", "blocked"),
    [
        (("*",), (), "ECHO", False),
        (("*",), (), "ZZZ9", False),
        (("*",), ("GPKD",), "GPKD", True),
        (("*",), ("GPKD",), "ECHO", False),
        (("*",), ("Excrypt:GPKD",), "GPKD", True),
        (("GPKD",), ("GPKD",), "GPKD", True),  # block wins
        (("ECHO",), (), "ECHO", False),
        (("ECHO",), (), "RAND", True),
        (("ECHO",), (), "ZZZ9", True),
        ((), (), "ECHO", True),
        (("*",), ("*",), "ECHO", True),
        (("ECHO",), ("*",), "ECHO", True),
        (("ZZZ9",), (), "ZZZ9", False),  # a code that nobody knows stands for itself
        (("*",), ("ZZZ9",), "ZZZ9", True),
        (("*",), ("ZZZ9",), "ZZZ8", False),
        (("generic/signing",), (), "RSAS", False),
        (("generic/signing",), (), "GPKD", True),
        (("*",), ("generic/signing",), "RSAS", True),
        (("effect:read",), (), "ECHO", False),
        (("effect:read",), (), "GPKD", True),
        (("*",), ("effect:write",), "GPKD", True),
        (("*",), ("effect:session",), "RKLG", True),
        (("category:key_operations",), (), "GPKD", False),
        (("category:key_operations",), (), "ECHO", True),
        (("*",), ("category:key_operations",), "GPKD", True),
    ],
)
def test_the_contracts_rules(allow: tuple[str, ...], block: tuple[str, ...], code: str, blocked: bool) -> None:
    ruling = rules(Functions(allow=allow, block=block)).ruling(code.encode())
    assert ruling.blocked is blocked
    assert not ruling.noticed
    noticed = rules(Functions(mode=DETECT, allow=allow, block=block)).ruling(code.encode())
    assert (noticed.blocked, noticed.noticed) == (False, blocked)
    off = rules(Functions(mode=OFF, allow=allow, block=block)).ruling(code.encode())
    assert (off.blocked, off.noticed) == (False, False)


def test_without_rules_everything_is_allowed() -> None:
    everything = rules(Functions())
    for code in (*(command.name for command in CATALOGUE), "ZZZ9"):
        assert not everything.ruling(code.encode()).blocked


def test_a_ruling_names_the_command() -> None:
    found = rules(Functions())
    assert found.ruling(b"ECHO").command.label == "ECHO"
    assert found.ruling(b"ZZZ9").command.label == "other"


@pytest.mark.parametrize(
    ("common", "own", "code", "blocked", "noticed"),
    [
        (Functions(), Functions(allow=("ECHO",)), "ECHO", False, False),
        (Functions(), Functions(allow=("ECHO",)), "RAND", True, False),
        (Functions(block=("ECHO",)), Functions(allow=("ECHO",)), "ECHO", True, False),  # narrower, never wider
        (Functions(allow=("RAND",)), Functions(allow=("ECHO",)), "ECHO", True, False),
        (Functions(mode=OFF), Functions(allow=("ECHO",)), "RAND", True, False),
        (Functions(block=("RAND",)), Functions(mode=OFF), "RAND", True, False),
        (Functions(mode=DETECT, block=("RAND",)), Functions(block=("RAND",)), "RAND", True, False),
        (Functions(mode=DETECT, block=("RAND",)), Functions(), "RAND", False, True),
        (Functions(), Functions(mode=DETECT, block=("RAND",)), "RAND", False, True),
    ],
)
def test_a_clients_own_rules_are_narrower(
    common: Functions, own: Functions, code: str, blocked: bool, noticed: bool
) -> None:
    settings = group(common, clients=(ClientRule(match=Match(common_name="vault-1"), functions=own),))
    found = all_rules(settings).of(Identity("vault-1"))
    assert found is not None
    ruling = found.ruling(code.encode())
    assert (ruling.blocked, ruling.noticed) == (blocked, noticed)


class TestMatching:
    RAND, ECHO = Functions(allow=("RAND",)), Functions(allow=("ECHO",))

    @pytest.mark.parametrize(
        ("match", "identity", "matches"),
        [
            (Match(common_name="v"), Identity("v"), True),
            (Match(common_name="v"), Identity("V"), False),
            (Match(common_name="v"), Identity(None), False),
            (Match(common_name="v"), None, False),
            (Match(san="v.example"), Identity(None, ("x", "v.example")), True),
            (Match(san="v.example"), Identity("v.example"), False),
            (Match(fingerprint="sha256:00"), Identity("v"), True),
            (Match(fingerprint="sha256:01"), Identity("v"), False),
            (Match(common_name="v", san="s"), Identity("v", ("s",)), True),
            (Match(common_name="v", san="s"), Identity("v"), False),
            (Match(common_name="v", fingerprint="sha256:01"), Identity("v"), False),
        ],
    )
    def test_all_that_is_given_must_agree(self, match: Match, identity: Identity | None, matches: bool) -> None:
        clients = (ClientRule(match=match, functions=self.ECHO),)
        found = all_rules(group(Functions(), clients=clients)).of(identity)
        assert found is not None
        assert found.ruling(b"RAND").blocked is matches
        refusing = all_rules(group(Functions(), clients=clients, unmatched="refuse")).of(identity)
        assert (refusing is not None) is matches

    def test_the_first_match_wins(self) -> None:
        clients = (
            ClientRule(match=Match(common_name="v"), functions=self.RAND),
            ClientRule(match=Match(common_name="v"), functions=self.ECHO),
        )
        found = all_rules(group(Functions(), clients=clients)).of(Identity("v"))
        assert found is not None
        assert not found.ruling(b"RAND").blocked
        assert found.ruling(b"ECHO").blocked

    def test_with_nobody_listed_refuse_refuses_all(self) -> None:
        assert all_rules(group(Functions(), unmatched="refuse")).of(Identity("v")) is None
