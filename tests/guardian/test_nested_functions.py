"""Commands that carry others: allowed and blocked where they can be told apart, blocked where they cannot."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from balancer.command import CommandTable
from balancer.wire.errors import Malformed
from balancer.wire.message import parse_request
from config.model import ClientRule, Functions, FunctionsMode, GroupType, Match, NestedTag, Nesting
from guardian.functions import GroupRules, Rules, Ruling
from tests.support.core import BOUNDS, CATALOGUE, device_settings, group_settings

from .test_functions import Identity

ENFORCE, DETECT, OFF = FunctionsMode.ENFORCE, FunctionsMode.DETECT, FunctionsMode.OFF
TAG = {Nesting.RKRL: NestedTag(tag="RN")}
START = {Nesting.RKRL: NestedTag(tag="RN", value="start")}


def rules(
    functions: Functions,
    nested: dict[Nesting, NestedTag] | None = None,
    own: Functions | None = None,
    kind: GroupType = GroupType.KMS,
) -> Rules:
    clients = () if own is None else (ClientRule(match=Match(common_name="v"), functions=own),)
    settings = group_settings(
        device_settings("a"), type=kind, functions=functions, nested=nested or {}, clients=clients
    )
    found = GroupRules(settings, CATALOGUE, CommandTable(CATALOGUE, BOUNDS)).of(Identity("v"))
    assert found is not None
    return found


def verdict(found: Rules, request: bytes) -> Ruling:
    code, _ = parse_request(request)
    ruling = found.ruling(code)
    return ruling if ruling.nested is None else ruling.nested.of(request)


def blocked(found: Rules, request: bytes) -> bool:
    return verdict(found, request).blocked


class TestWhole:
    """Without `nested` a command that carries others is one command."""

    @pytest.mark.parametrize("code", ["RKRL", "CLCR"])
    @pytest.mark.parametrize(
        ("allow", "is_blocked"),
        [
            (("*",), True),
            (("kmes-host-api/nested",), True),
            (("category:host_api",), True),
            (("effect:write",), True),
            (("RKRL", "CLCR"), False),
            (("Excrypt:RKRL", "Excrypt:CLCR"), False),
            (("*", "RKRL", "CLCR"), False),
            (("ECHO",), True),
        ],
    )
    def test_a_kms_group_allows_it_by_its_name_only(self, code: str, allow: tuple[str, ...], is_blocked: bool) -> None:
        assert blocked(rules(Functions(allow=allow)), f"[AO{code};RNGETK;]".encode()) is is_blocked

    def test_all_else_is_as_in_other_groups(self) -> None:
        found = rules(Functions())
        for command in CATALOGUE:
            ruling = found.ruling(command.name.encode())
            assert ruling.blocked is (command.name in ("RKRL", "CLCR")), command.name

    def test_other_groups_allow_it_by_default(self) -> None:
        assert not blocked(rules(Functions(), kind=GroupType.HSM), b"[AORKRL;]")

    @pytest.mark.parametrize(
        ("allow", "block"), [(("RKRL",), ("RKRL",)), (("RKRL",), ("*",)), (("RKRL",), ("effect:write",))]
    )
    def test_block_wins(self, allow: tuple[str, ...], block: tuple[str, ...]) -> None:
        assert blocked(rules(Functions(allow=allow, block=block)), b"[AORKRL;]")

    def test_a_clients_star_means_what_its_group_allows(self) -> None:
        own = Functions(block=("TIME",))
        assert not blocked(rules(Functions(allow=("RKRL",)), own=own), b"[AORKRL;]")
        assert blocked(rules(Functions(), own=Functions(allow=("RKRL",))), b"[AORKRL;]")

    @pytest.mark.parametrize(("mode", "noticed"), [(DETECT, True), (OFF, False)])
    def test_other_modes_let_it_pass(self, mode: FunctionsMode, noticed: bool) -> None:
        found = verdict(rules(Functions(mode=mode)), b"[AORKRL;]")
        assert (found.blocked, found.noticed) == (False, noticed)


class TestToldApart:
    @pytest.mark.parametrize(
        ("allow", "block", "request_", "is_blocked"),
        [
            (("RKRL/GETK",), (), b"[AORKRL;RNGETK;]", False),
            (("RKRL/GETK",), (), b"[AORKRL;AGx;RNGETK]", False),
            (("Excrypt:RKRL/GETK",), (), b"[AORKRL;RNGETK;]", False),
            (("RKRL/GETK",), (), b"[AORKRL;RNDELK;]", True),
            (("RKRL",), (), b"[AORKRL;RNDELK;]", False),
            (("RKRL",), ("RKRL/DELK",), b"[AORKRL;RNDELK;]", True),
            (("RKRL",), ("RKRL/DELK",), b"[AORKRL;RNGETK;]", False),
            (("RKRL/GETK",), ("RKRL/GETK",), b"[AORKRL;RNGETK;]", True),
            (("RKRL/GETK",), ("RKRL",), b"[AORKRL;RNGETK;]", True),
            (("RKRL/GETK",), ("*",), b"[AORKRL;RNGETK;]", True),
            (("*",), (), b"[AORKRL;RNGETK;]", True),
            (("*", "RKRL/GETK"), (), b"[AORKRL;RNGETK;]", False),
            (("*", "RKRL/GETK"), (), b"[AOCLCR;RNGETK;]", True),
            (("RKRL/GETK",), (), b"[AORKRL;RNGETKX;]", True),
            (("RKRL",), (), b"[AORKRL;]", True),  # it cannot be told which one it is
            (("RKRL",), (), b"[AORKRL;RNGETK;RNGETK;]", True),
        ],
    )
    def test_the_rules(self, allow: tuple[str, ...], block: tuple[str, ...], request_: bytes, is_blocked: bool) -> None:
        assert blocked(rules(Functions(allow=allow, block=block), TAG), request_) is is_blocked
        noticed = verdict(rules(Functions(mode=DETECT, allow=allow, block=block), TAG), request_)
        assert (noticed.blocked, noticed.noticed) == (False, is_blocked)
        off = verdict(rules(Functions(mode=OFF, allow=allow, block=block), TAG), request_)
        assert (off.blocked, off.noticed) == (False, False)

    def test_a_clients_rules_are_narrower(self) -> None:
        found = rules(Functions(allow=("RKRL/GETK", "RKRL/LIST")), TAG, own=Functions(allow=("RKRL/GETK", "RKRL/DELK")))
        assert not blocked(found, b"[AORKRL;RNGETK;]")
        assert blocked(found, b"[AORKRL;RNLIST;]")
        assert blocked(found, b"[AORKRL;RNDELK;]")

    def test_the_beginning_of_the_value(self) -> None:
        found = rules(Functions(allow=("RKRL/GETK",)), START)
        assert not blocked(found, b"[AORKRL;RNGETK;]")
        assert not blocked(found, b"[AORKRL;RNGETK-and-more;]")
        for value in (b"DELKGETK", b" GETK", b"getk", b"GET", b""):
            assert blocked(found, b"[AORKRL;RN" + value + b";]")

    def test_a_ruling_without_its_request_is_never_plain(self) -> None:
        ruling = rules(Functions(allow=("RKRL",)), TAG).ruling(b"RKRL")
        assert ruling.nested is not None
        assert not ruling.plain


_ALLOWED = {"GETK", "GET2"}
_value = st.one_of(
    st.sampled_from(["GETK", "GET2", "DELK", "getk", "GETKDELK", "GETK ", " GETK", "", "GET", "DELKGETK"]),
    st.text(alphabet=[chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in ";[]"], max_size=9),
)
_tag = st.one_of(
    st.just("RN"),
    st.sampled_from(["RN", "RN", "rn", "Rn", "AG", "AO", "NR", " RN", "RN "]),
    st.text(alphabet=string.ascii_uppercase + string.digits, min_size=2, max_size=2),
)
_requests = st.builds(
    lambda code, fields, last: f"[AO{code};" + ";".join(tag + value for tag, value in fields) + last,
    st.sampled_from(["RKRL", "RKRL", "CLCR"]),
    st.lists(st.tuples(_tag, _value), max_size=3),
    st.sampled_from(["]", ";]"]),
)


@pytest.mark.parametrize(
    "functions",
    [
        Functions(allow=("*", "RKRL/GETK", "RKRL/GET2")),
        Functions(allow=("*", "RKRL/GETK", "RKRL/GET2", "RKRL/DELK"), block=("RKRL/DELK",)),
    ],
)
@pytest.mark.parametrize("nested", [TAG, START])
def test_no_other_nested_command_passes(functions: Functions, nested: dict[Nesting, NestedTag]) -> None:
    """Compared with a reading written anew here: one field of the tag in any case, with an allowed value."""
    found = rules(functions, nested)
    passed = 0

    @example("[AORKRL;RNGETK;]")
    @example("[AORKRL;AGx;RNGET2]")
    @settings(max_examples=150, deadline=None)
    @given(_requests)
    def try_it(text: str) -> None:
        nonlocal passed
        request = text.encode()
        with contextlib.suppress(Malformed):
            if blocked(found, request):
                return
            passed += 1
            fields = request.decode()[1:-1].split(";")
            values = [field[2:] for field in fields[1:] if field[:2].upper() == "RN"]
            assert fields[0] == "AORKRL"
            assert len(values) == 1
            assert (values[0] if nested is TAG else values[0][:4]) in _ALLOWED

    try_it()
    assert passed  # else nothing was compared
