"""What a TLS section must have for its mode, and how a device's section overrides its group's."""

from __future__ import annotations

import re
from typing import Final

import attrs

from .model import DeviceTls, TlsMode, Verify
from .problems import Report
from .structure import Draft

_FINGERPRINT: Final = re.compile(r"sha256:([0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31})", re.ASCII)
_FILES: Final = ("certificate", "key", "key_password_file", "ca", "crl")
_OWN: Final = ("certificate", "key", "key_password_file")  # what we show of ourselves


def check_listener(tls: Draft, report: Report) -> None:
    """A listener's section: the proxy is the server."""
    mode = _mode(tls, report)
    if mode is None:
        return
    _needs(tls, "certificate", mode, report)
    if mode is TlsMode.MUTUAL:
        _needs(tls, "ca", mode, report)
    else:
        for field in ("ca", "crl"):
            if tls.given(field) and tls.values.get(field):
                report.warn(tls.at(field), "is not used with mode: server, which asks clients for no certificate")


def check_device(tls: Draft, report: Report) -> None:
    """A device's section, already merged with its group's: the proxy is the client."""
    normalise_fingerprint(tls, report)
    mode = _mode(tls, report)
    if mode is None:
        return
    if mode is TlsMode.MUTUAL:
        _needs(tls, "certificate", mode, report)
    else:
        for field in _OWN:
            if tls.given(field) and tls.values.get(field) is not None:
                report.error(tls.at(field), "is never shown with mode: server, remove it or write mode: mutual")
    _needs(tls, "ca", mode, report)
    _verification(tls, report)


def merged(group: Draft, device: Draft) -> Draft:
    """A device's section with what it does not give taken from its group's; each key keeps its own place.

    A device that gives ``fingerprint`` alone is pinned by it. What a device's own mode has no use for (``clear``:
    any file, ``server``: our certificate) is not inherited.
    """
    if not device.places and not device.broken:
        inherited = attrs.evolve(group, values=dict(group.values), places=dict(group.places))
        _pin(inherited)
        return inherited
    result = Draft(DeviceTls, device.place)
    useless = _useless(device)
    defaults = {field.name: field.default for field in attrs.fields(DeviceTls)}
    for field, default in defaults.items():
        source = device if device.given(field) or field in device.broken else group
        if source is group and field in useless:
            result.values[field] = default
            continue
        if field in source.values:
            result.values[field] = source.values[field]
        if field in source.broken:
            result.broken.add(field)
        if field in source.places:
            result.places[field] = source.places[field]
        if field in source.items:
            result.items[field] = source.items[field]
    _pin(result, device)
    return result


def _useless(device: Draft) -> tuple[str, ...]:
    if not device.given("mode") or not device.known("mode"):
        return ()
    mode = device.values["mode"]
    return _FILES if mode is TlsMode.CLEAR else _OWN if mode is TlsMode.SERVER else ()


def _pin(result: Draft, section: Draft | None = None) -> None:
    """Let a fingerprint that stands alone in its section say how to verify."""
    section = section or result
    if section.given("fingerprint") and section.values.get("fingerprint") and not section.given("verify"):
        result.values["verify"] = Verify.FINGERPRINT
        result.places["verify"] = section.places["fingerprint"]


def normalise_fingerprint(section: Draft, report: Report) -> None:
    """Bring ``fingerprint`` into its one form, or report it."""
    value = section.values.get("fingerprint")
    if value is None:
        return
    if _FINGERPRINT.fullmatch(value):
        section.values["fingerprint"] = "sha256:" + value[7:].replace(":", "").lower()
    else:
        report.error(section.at("fingerprint"), 'is no fingerprint, must be "sha256:" and 64 hex digits')
        del section.values["fingerprint"]
        section.broken.add("fingerprint")


def _verification(tls: Draft, report: Report) -> None:
    if not tls.known("verify"):
        return
    verify: Verify = tls.values["verify"]
    if verify is Verify.FINGERPRINT:
        if tls.known("fingerprint") and tls.values["fingerprint"] is None:
            report.error(tls.at("fingerprint"), 'is missing, verify: fingerprint needs "sha256:" and 64 hex digits')
    elif (
        tls.given("fingerprint")
        and tls.values.get("fingerprint")
        and tls.places["fingerprint"].path.startswith(tls.place.path)
    ):
        report.error(
            tls.at("fingerprint"), f"is not looked at with verify: {verify.value}, must go, or verify be fingerprint"
        )
    if verify is not Verify.NAME and tls.given("name") and tls.values.get("name"):
        report.warn(tls.at("name"), f"is not looked at with verify: {verify.value}")
    if tls.given("name") and tls.values.get("name") == "":
        report.error(tls.at("name"), "is empty, must be the name in the device's certificate")


def _needs(tls: Draft, field: str, mode: TlsMode, report: Report) -> None:
    if tls.known(field) and not tls.values[field]:
        what = "a list of CA files" if field == "ca" else "a file"
        word = "is empty" if tls.given(field) else "is missing"
        report.error(tls.at(field), f"{word}, mode: {mode.value} needs {what} here")


def _mode(tls: Draft, report: Report) -> TlsMode | None:
    """None where there is nothing more to check: it is clear, or nobody knows."""
    if not tls.known("mode"):
        return None
    mode: TlsMode = tls.values["mode"]
    if mode is TlsMode.CLEAR:
        _nothing_when_clear(tls, report)
        return None
    return mode


def _nothing_when_clear(tls: Draft, report: Report) -> None:
    """An error, not a warning: whoever names certificates believes that the connection is protected."""
    for field in _FILES:
        if tls.given(field) and tls.values.get(field):
            report.error(tls.at(field), "is not used with mode: clear, remove it or write mode: mutual or server")
