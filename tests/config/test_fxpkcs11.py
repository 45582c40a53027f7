"""fxpkcs11.cfg is read and written without losing a byte, whatever is in it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import settings as searching
from hypothesis import strategies as st

from config.fxpkcs11 import ClientFile, LineKind, compose, parse
from config.fxpkcs11_tags import TAGS, check_form, port_of, switched_on

EXAMPLE = """\
# a client
<HSM>
    <SLOT>                  0                       </SLOT>
    <LABEL>                 Futurex token           </LABEL>
#   <CRYPTO-OPR>            crypto1                 </CRYPTO-OPR>
    # <CRYPTO-OPR-PASS>     safest                  </CRYPTO-OPR-PASS>
    <ADDRESS>               10.0.8.30               </ADDRESS>   # the first one
    <PROD-ENABLED>          YES                     </PROD-ENABLED>
    <PROD-PORT>             9100                    </PROD-PORT>
    <PROD-TLS-CA>           /etc/a.pem              </PROD-TLS-CA>
    <PROD-TLS-CA>           /etc/b.pem              </PROD-TLS-CA>
    <NEW-TAG>               of tomorrow             </NEW-TAG>
</HSM>

<CONFIG>
    <FORCED-LABEL-USAGE> hsm_demo = ENCRYPT | DECRYPT </FORCED-LABEL-USAGE>
</CONFIG>
"""
# Lines as they may stand in a file, good and bad, and pieces of them.
PIECES = st.sampled_from(
    ["<HSM>", "</HSM>", "<KMS>", "<CONFIG>", "</CONFIG>", "<", ">", "</", "#", " ", "\t", "\n", "\r\n", "\r", "\ufeff",
     "<SLOT>", "</SLOT>", "<SLOT> 0 </SLOT>", "# <LABEL> x </LABEL>", "<LABEL> a </LABEL> b </LABEL>", "\x85", "\u2028",
     "<FORCED-LABEL-USAGE> a = B | </FORCED-LABEL-USAGE>", "<PROD-PORT> 99999999999999999999 </PROD-PORT>", "\udcff"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=30).map("".join)
VALUES = st.text(st.characters(exclude_characters="\r\n"), max_size=20).map(lambda text: text.strip(" \t"))
NAMES = st.sampled_from(["HSM", "KMS", "CONFIG", "OTHER"])
SECTIONS = st.lists(
    st.tuples(NAMES, st.lists(st.tuples(st.sampled_from([*TAGS, "NEW-TAG", "x"]), VALUES), max_size=6)), max_size=4
)


def settings(file: ClientFile) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(section.name, [(each.tag, each.value) for each in section.settings]) for section in file.sections]


@searching(max_examples=400)
@given(TEXTS)
def test_what_is_read_is_written_as_it_was(text: str) -> None:
    file = parse(text)
    assert file.render() == text
    assert parse(file.render()) == file
    problems = check_form("x.cfg", file)
    assert all(0 < problem.line <= max(1, len(file.lines)) for problem in problems)
    assert all("\n" not in str(problem) for problem in problems)


@searching(max_examples=300)
@given(SECTIONS)
def test_what_is_written_is_read_as_it_was_meant(sections: list[tuple[str, list[tuple[str, str]]]]) -> None:
    held = [(name, [(tag, value) for tag, value in inner if f"</{tag}>" not in value]) for name, inner in sections]
    file = compose(held)
    assert settings(file) == held
    assert not file.faults


@given(TEXTS, st.sampled_from(["SLOT", "LABEL", "PROD-TLS-CA", "NEW-TAG"]), st.lists(VALUES, max_size=3), st.data())
def test_a_change_changes_that_tag_of_that_section_alone(
    text: str, tag: str, values: list[str], data: st.DataObject
) -> None:
    values = [value for value in values if f"</{tag}>" not in value]
    file = parse(text)
    if not file.sections:
        return
    section = data.draw(st.sampled_from(file.sections))
    changed = file.with_values(section, tag, values)
    assert parse(changed.render()) == changed
    before, after = settings(file), settings(changed)
    kept = [each for each in before[section.number][1] if each[0] != tag]
    assert [each for each in after[section.number][1] if each[0] != tag] == kept
    assert [value for name, value in after[section.number][1] if name == tag] == values
    del before[section.number], after[section.number]
    assert after == before


def test_an_example() -> None:
    file = parse(EXAMPLE)
    assert not file.faults
    hsm, config = file.sections
    assert (hsm.name, hsm.line, config.name, config.line) == ("HSM", 2, "CONFIG", 15)
    label = hsm.get("LABEL")
    assert label is not None
    assert (label.value, label.line) == ("Futurex token", 4)
    assert [each.value for each in hsm.all("PROD-TLS-CA")] == ["/etc/a.pem", "/etc/b.pem"]
    assert hsm.get("CRYPTO-OPR") is None  # switched off
    assert [line.tag for line in file.lines if line.kind is LineKind.OFF] == ["CRYPTO-OPR", "CRYPTO-OPR-PASS"]
    [unknown] = check_form("x.cfg", file)
    assert str(unknown) == "x.cfg:12: NEW-TAG: is no tag that is known, it is kept as it is"
    assert unknown.severity == "warning"


def test_a_change_keeps_how_the_file_looks() -> None:
    file = parse(EXAMPLE)
    for tag, values in (
        ("ADDRESS", ["guardian.example"]), ("CRYPTO-OPR", ["vault"]), ("FX-LOAD-BALANCE", ["YES"]), ("NEW-TAG", []),
        ("PROD-TLS-CA", ["/etc/c.pem", "/etc/d.pem", "/etc/e.pem"]),
    ):  # fmt: skip
        file = file.with_values(file.sections[0], tag, values)
    before, after = EXAMPLE.splitlines(), file.render().splitlines()
    assert after == [
        *before[:4],
        "    <CRYPTO-OPR>            vault                 </CRYPTO-OPR>",
        before[5],
        "    <ADDRESS>               guardian.example               </ADDRESS>   # the first one",
        *before[7:9],
        "    <PROD-TLS-CA>           /etc/c.pem              </PROD-TLS-CA>",
        "    <PROD-TLS-CA>           /etc/d.pem              </PROD-TLS-CA>",
        "    <PROD-TLS-CA> /etc/e.pem </PROD-TLS-CA>",
        "# " + before[11],
        "    <FX-LOAD-BALANCE> YES </FX-LOAD-BALANCE>",
        *before[12:],
    ]


def test_windows_line_ends_and_its_mark_stay() -> None:
    text = "\ufeff<HSM>\r\n<SLOT> 0 </SLOT>\r\n</HSM>"
    file = parse(text)
    assert not file.faults
    changed = file.with_values(file.sections[0], "LABEL", ["x"]).with_values(file.sections[0], "SLOT", ["1"])
    assert changed.render() == "\ufeff<HSM>\r\n<SLOT> 1 </SLOT>\r\n<LABEL> x </LABEL>\r\n</HSM>"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["1: (file): has neither <HSM> nor <KMS>: it names nothing to connect to"]),
        ("<HSM>\n", ["1: HSM: has no </HSM>"]),
        ("</HSM>\n<KMS>\n</KMS>\n", ["1: HSM: ends a section that no <HSM> has begun"]),
        ("<HSM>\n</KMS>\n", ["2: KMS: ends another section than <HSM> (line 1)"]),
        ("<HSM>\n<KMS>\n<SLOT>1</SLOT>\n</KMS>\n",
         ["2: KMS: begins inside of <HSM> (line 1), which has no end"]),
        ("<SLOT> 0 </SLOT>\n<HSM>\n</HSM>",
         ["1: SLOT: stands in no section, must be inside of <HSM>, <KMS> or <CONFIG>"]),
        ("<HSM>\n<SLOT> 0\n</HSM>", ["2: SLOT: has no </SLOT> on its line, must be <SLOT> value </SLOT>"]),
        ("<HSM>\n<SLOT> 0 </SLOT> 1\n</HSM>", ["2: SLOT: is followed by something on its line, must end with </SLOT>"]),
        ("<HSM>\n<LABEL> a </LABEL> b </LABEL>\n</HSM>",
         ["2: LABEL: is ended twice on its line: <LABEL> value </LABEL>"]),
        ("<HSM>\nhunter2\n</HSM>", ["2: (file): is neither a tag nor a comment: <TAG> value </TAG>, or # before it"]),
        ("<HSM>\n</HSM>\n<KMS>\n</KMS>",
         ["3: SLOT: is 0 as in the section of line 1, must be another: one token, one slot"]),
        ("<HSN>\n</HSN>\n<HSM>\n</HSM>", ["1: HSN: is no section, must be <HSM>"]),
        ("<HSM>\n<SLOT> 0 </SLOT>\n<SLOT> 1 </SLOT>\n</HSM>",
         ["3: SLOT: is given on line 2 too, must be given once: which one counts is not known"]),
        ("<HSM>\n<PROD-ENABLED> maybe </PROD-ENABLED>\n</HSM>", ["2: PROD-ENABLED: is neither YES nor NO"]),
        ("<HSM>\n<PROD-ENABLED> yes </PROD-ENABLED>\n</HSM>",
         ["2: PROD-ENABLED: is not in capitals, should be YES or NO as in the vendor's guides"]),
        ("<HSM>\n<PROD-PORT> 0 </PROD-PORT>\n</HSM>", ["2: PROD-PORT: is no port, must be a number from 1 to 65535"]),
        ("<HSM>\n<PROD-PORT> \uff19100 </PROD-PORT>\n</HSM>",
         ["2: PROD-PORT: is no port, must be a number from 1 to 65535"]),
        ("<HSM>\n<SLOT> a </SLOT>\n</HSM>", ["2: SLOT: is no number, must be one such as 0"]),
        ("<HSM>\n<ADDRESS></ADDRESS>\n</HSM>", ["2: ADDRESS: is empty"]),
        ("<HSM>\n<CRYPTO-OPR-PASS></CRYPTO-OPR-PASS>\n</HSM>", []),
        (f"<HSM>\n<LABEL>{'x' * 33}</LABEL>\n</HSM>",
         ["2: LABEL: is longer than the 32 bytes of a PKCS #11 token label"]),
        ("<HSM>\n<FORCED-LABEL-USAGE> k = SIGN </FORCED-LABEL-USAGE>\n</HSM>",
         ["2: FORCED-LABEL-USAGE: stands in <HSM>, the vendor's guides have it in <CONFIG>"]),
        ("<HSM>\n</HSM>\n<CONFIG>\n<FORCED-LABEL-USAGE> SIGN </FORCED-LABEL-USAGE>\n</CONFIG>",
         ["4: FORCED-LABEL-USAGE: must be a key label and its usages, such as: my_key = ENCRYPT | DECRYPT"]),
        ("<HSM>\n<ADRESS> h </ADRESS>\n</HSM>", ["2: ADRESS: is no tag that is known, did you mean ADDRESS?"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_form(text: str, told: list[str]) -> None:
    assert [str(problem).removeprefix("x.cfg:") for problem in check_form("x.cfg", parse(text))] == told


def test_a_usage_needs_the_label_of_a_key() -> None:
    text = "<HSM>\n</HSM>\n<CONFIG>\n<FORCED-LABEL-USAGE> = SIGN </FORCED-LABEL-USAGE>\n</CONFIG>"
    [problem] = check_form("x.cfg", parse(text))
    assert "must be a key label and its usages" in problem.message


def test_a_usage_that_nobody_knows_is_named() -> None:
    text = "<HSM>\n</HSM>\n<CONFIG>\n<FORCED-LABEL-USAGE> k = ENCRYPT | SNIFF </FORCED-LABEL-USAGE>\n</CONFIG>"
    [problem] = check_form("x.cfg", parse(text))
    assert problem.severity == "warning"
    assert "'SNIFF'" in problem.message


@pytest.mark.parametrize(
    ("tag", "value"), [("A B", "x"), ("A", "x\ny"), ("A", "x\r"), ("A", " x"), ("A", "hunter2 </A>"), ("<", "x")]
)
def test_what_the_form_cannot_hold_is_refused_without_the_value(tag: str, value: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        compose([("HSM", [(tag, value)])])
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="section"):
        compose([("H M", [])])


def test_secrets_are_in_no_repr() -> None:
    file = parse("<HSM>\n<CRYPTO-OPR-PASS> hunter2 </CRYPTO-OPR-PASS>\n</HSM>")
    assert "hunter2" not in repr(file) + repr(file.sections)


def test_defaults_stand_in_for_what_cannot_be_read() -> None:
    [section] = parse("<HSM>\n<PROD-PORT> x </PROD-PORT>\n<PROD-ENABLED> no </PROD-ENABLED>\n</HSM>").sections
    assert port_of(section.get("PROD-PORT"), 9100) == port_of(None, 9100) == 9100
    assert not switched_on(section.get("PROD-ENABLED"), default=True)
    assert switched_on(section.get("PROD-PORT"), default=True)


@pytest.mark.parametrize(
    "text", [" " * 200_000, "<A>" + " " * 200_000, "<A></A>" * 30_000, "#" * 200_000, "<A> = </A>" * 9]
)
def test_a_long_line_is_read_at_once(text: str) -> None:
    began = time.process_time()
    check_form("x.cfg", parse(f"<CONFIG>\n{text}\n<FORCED-LABEL-USAGE>{text}</FORCED-LABEL-USAGE>\n</CONFIG>"))
    assert time.process_time() - began < 5  # a second at most; minutes where it is quadratic
