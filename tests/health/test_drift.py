from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.model import Probe, SerialPin
from health.drift import ABSENT, Portrait, Sketch, compare, sketch, wrong_serial

SALT = b"salt"
ECHO = Probe(request="[AOECHO;]")
TABLE = Probe(request="[AOGPKM;]")
PIN = SerialPin(serial="SN")

tags = st.from_regex(r"[A-Z0-9]{2}", fullmatch=True).filter(lambda tag: tag not in ("AO", "AG"))
values = st.from_regex(r"[ -:<-Z\\^-~]{0,12}", fullmatch=True)
bodies = st.dictionaries(tags, values, max_size=6)


def answer(body: dict[str, str], code: str = "ECHO") -> bytes:
    return f"[AO{code};{''.join(f'{tag}{value};' for tag, value in body.items())}]".encode()


def portrait(*, writes: int = 0, **answers: bytes) -> Portrait:
    probes = {"echo": ECHO, "table": TABLE}
    return Portrait({probes[name]: sketch(given, probes[name], SALT) for name, given in answers.items()}, writes)


def fields(device: Portrait, reference: Portrait) -> list[str]:
    return [difference.field for difference in compare(device, reference).differences]


class TestCompare:
    @given(body=bodies)
    def test_the_same_answers_have_no_difference(self, body: dict[str, str]) -> None:
        found = compare(portrait(echo=answer(body)), portrait(echo=answer(body)))
        assert (found.differences, found.complete) == ((), True)

    @given(ours=bodies, theirs=bodies)
    def test_exactly_what_differs_is_named(self, ours: dict[str, str], theirs: dict[str, str]) -> None:
        found = fields(portrait(echo=answer(ours)), portrait(echo=answer(theirs)))
        unequal = {tag for tag in {*ours, *theirs} if ours.get(tag) != theirs.get(tag)}
        if unequal:
            assert sorted(found) == sorted(f"ECHO.{tag}" for tag in unequal)
        else:
            assert found == ([] if list(ours) == list(theirs) else ["ECHO.order"])

    @given(ours=bodies, theirs=bodies, named=st.lists(tags, min_size=1, unique=True))
    def test_of_named_tags_nothing_else_counts(
        self, ours: dict[str, str], theirs: dict[str, str], named: list[str]
    ) -> None:
        probe = Probe(request="[AOECHO;]", compare=tuple(named))
        one, other = (Portrait({probe: sketch(answer(body), probe, SALT)}, 0) for body in (ours, theirs))
        found = {difference.tag for difference in compare(one, other).differences}
        assert found == {tag for tag in named if ours.get(tag) != theirs.get(tag)}

    @given(body=bodies, value=st.text(st.sampled_from("ABC123"), min_size=9))
    def test_no_value_is_told(self, body: dict[str, str], value: str) -> None:
        found = compare(portrait(echo=answer({**body, "VS": value})), portrait(echo=answer(body | {"VS": "other"})))
        assert value not in "".join(str(difference) for difference in found.differences)
        assert value not in repr(found)

    def test_the_echo_of_the_request_is_not_compared(self) -> None:
        assert not fields(portrait(echo=b"[AOECHO;AGone;VS1;]"), portrait(echo=b"[AOECHO;AGtwo;VS1;]"))

    def test_a_tag_given_twice_counts_with_all_its_values(self) -> None:
        assert fields(portrait(echo=b"[AOECHO;KT1;KT2;]"), portrait(echo=b"[AOECHO;KT1;KT3;]")) == ["ECHO.KT"]

    def test_what_is_missing_is_absent(self) -> None:
        [difference] = compare(portrait(echo=b"[AOECHO;]"), portrait(echo=b"[AOECHO;VS1;]")).differences
        assert difference.device == ABSENT
        assert difference.reference != ABSENT

    def test_a_digest_means_nothing_without_its_salt(self) -> None:
        assert sketch(b"[AOECHO;VS1;]", ECHO, b"one") != sketch(b"[AOECHO;VS1;]", ECHO, b"other")

    def test_a_tag_that_is_none_is_shown_in_hexadecimal(self) -> None:
        assert fields(portrait(echo=b"[AOECHO;\x1b[1;]"), portrait(echo=b"[AOECHO;]")) == ["ECHO.1b5b"]


class TestKeyTables:
    def test_between_writes_they_are_compared(self) -> None:
        found = compare(portrait(table=b"[AOGPKM;KT1;]", writes=3), portrait(table=b"[AOGPKM;KT2;]", writes=3))
        assert [difference.key_table for difference in found.differences] == [True]
        assert not found.same_key_table

    def test_with_a_write_between_nothing_can_be_said(self) -> None:
        found = compare(portrait(table=b"[AOGPKM;KT1;]", writes=3), portrait(table=b"[AOGPKM;KT2;]", writes=4))
        assert (found.differences, found.complete, found.same_key_table) == ((), False, False)

    def test_equal_ones_are_equal_whatever_else_differs(self) -> None:
        ours = portrait(echo=b"[AOECHO;VS1;]", table=b"[AOGPKM;KT1;]")
        theirs = portrait(echo=b"[AOECHO;VS2;]", table=b"[AOGPKM;KT1;]")
        found = compare(ours, theirs)
        assert [difference.field for difference in found.differences] == ["ECHO.VS"]
        assert found.same_key_table

    def test_where_none_is_asked_none_is_equal(self) -> None:
        found = compare(portrait(echo=b"[AOECHO;]"), portrait(echo=b"[AOECHO;]"))
        assert found.complete
        assert not found.same_key_table

    def test_a_probe_that_the_reference_was_not_asked_leaves_it_open(self) -> None:
        found = compare(portrait(echo=b"[AOECHO;]", table=b"[AOGPKM;]"), portrait(echo=b"[AOECHO;]"))
        assert not found.complete


class TestSerial:
    def test_the_pinned_one_is_right(self) -> None:
        assert wrong_serial(b"[AOHASH;SN0A1B;FW2;]", PIN, "0A1B", SALT) is None

    def test_another_or_none_is_wrong_and_not_told(self) -> None:
        wrong = wrong_serial(b"[AOHASH;SN0A1C;]", PIN, "0A1B", SALT)
        assert wrong is not None
        assert wrong.field == "HASH.SN"
        assert "0A1" not in str(wrong)
        missing = wrong_serial(b"[AOHASH;]", PIN, "0A1B", SALT)
        assert missing is not None
        assert missing.device == ABSENT

    def test_it_makes_a_device_differ_from_itself(self) -> None:
        shown: dict[Probe, Sketch] = {ECHO: sketch(b"[AOECHO;]", ECHO, SALT)}
        stranger = Portrait(shown, 0, wrong_serial(b"[AOHASH;SN1;]", PIN, "2", SALT))
        assert fields(stranger, stranger) == ["HASH.SN"]
