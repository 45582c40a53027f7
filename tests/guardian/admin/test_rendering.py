"""Large answers are made and written beside the data path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.admin import rendering, routes
from guardian.admin.rendering import Renderer, as_bytes
from guardian.lesson import LessonState
from tests.support.admin_port import ask, serving
from tests.support.operable import FakeProxy

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_it_is_the_json_that_it_was_given(content: object) -> None:
    assert json.loads(as_bytes(content)) == content


def test_an_iterator_stands_for_a_list() -> None:
    assert json.loads(as_bytes({"clients": iter([{"codes": iter([])}, 2])})) == {"clients": [{"codes": []}, 2]}


def test_no_piece_is_long() -> None:
    """One piece is written while the loop cannot run."""
    clients = [{"codes": [{"code": "X" * 500} for _ in range(100)]} for _ in range(10)]
    pieces = rendering._pieces({"groups": {"payments": {"clients": clients}}}, rendering._LEVELS)
    assert max(map(len, pieces)) < 600


async def test_it_is_made_and_written_in_a_thread() -> None:
    seen: list[int] = []

    def entries() -> Iterator[int]:
        seen.append(threading.get_ident())
        yield 1

    def make() -> dict[str, object]:
        seen.append(threading.get_ident())
        return {"entries": entries()}

    response = await Renderer().answer(422, make)
    assert (response.status, json.loads(response.body)) == (422, {"entries": [1]})
    assert len(seen) == 2
    assert threading.get_ident() not in seen


async def test_nothing_large_is_made_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, int]] = []
    made: list[int] = []
    real_bytes, real_status = rendering.as_bytes, routes.status

    def as_bytes_seen(content: Any) -> bytes:
        written.append((max(content), threading.get_ident()))
        return real_bytes(content)

    def status_seen(*args: Any) -> dict[str, object]:
        made.append(threading.get_ident())
        return real_status(*args)

    monkeypatch.setattr(rendering, "as_bytes", as_bytes_seen)
    monkeypatch.setattr(routes, "status", status_seen)
    proxy = FakeProxy()
    proxy.lessons._course.state = LessonState.DONE
    async with serving(proxy) as bound:
        for path in ("/status", "/learning", "/commands", "/certificates"):
            assert (await ask(bound, "GET", path)).status == 200
    assert [name for name, _ in written] == ["workers", "watched", "commands", "certificates"]
    assert threading.get_ident() not in [thread for _, thread in written] + made
    assert len(made) == 1
