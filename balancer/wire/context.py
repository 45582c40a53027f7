"""The proxy's own ``AG`` text in a request, and the client's back in the answer.

The one place where bytes of a message change: ``context: inject``. A stamp is a text that no other request on the
connection has. `put` takes requests that `parse_request` found well-formed; answers are read leniently.
"""

from __future__ import annotations

from typing import Final

_TAG: Final = b";AG"
_CODE_END: Final = 7  # of "[AOECHO"
_ENDS: Final = (b";", b"]")  # of a field


def put(request: bytes, context: bytes | None, stamp: bytes) -> bytes:
    """The request with the stamp as its ``AG``. ``context``: what it has there itself, None where it has no ``AG``.

    A new field comes first after the code. A last ``;`` that is missing stays missing.
    """
    if context is None:
        return request[:_CODE_END] + _TAG + stamp + request[_CODE_END:]
    start = request.find(_TAG) + 3
    return request[:start] + stamp + request[start + len(context) :]


def restore(answer: bytes, context: bytes | None, stamp: bytes) -> bytes | None:
    """The answer as the device would have given it without the stamp; None where the stamp is not there just once.

    It must be the whole value of an ``AG`` field. Where the request had no ``AG``, neither has the answer then.
    """
    start = answer.find(_TAG + stamp)
    end = start + 3 + len(stamp)
    if start < 0 or answer.count(stamp) != 1 or answer[end : end + 1] not in _ENDS:
        return None
    return answer[:start] + answer[end:] if context is None else answer[: start + 3] + context + answer[end:]
