"""Status codes of what `guardian show` and `guardian reload` ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loader import Loaded
from guardian.reloading import ReloadResult
from tests.guardian.test_show_commands import CHANGED, WRONG, FakeReloading
from tests.support.admin_port import ask, serving
from tests.support.operable import FakeProxy

JSON = {"content_type": "application/json"}


def reloadable(result: ReloadResult) -> FakeProxy:
    proxy = FakeProxy()
    proxy.reloading = FakeReloading(Path("/x"), Loaded(config=None, problems=()), result)  # type: ignore[assignment]
    return proxy


@pytest.mark.parametrize(("result", "status"), [(CHANGED, 200), (WRONG, 422)])
async def test_a_reload_that_is_refused_is_422(result: ReloadResult, status: int) -> None:
    proxy = reloadable(result)
    async with serving(proxy) as bound:
        assert (await ask(bound, "GET", "/reload")).status == status
        assert (await ask(bound, "POST", "/reload", b'{"dry_run": true}', **JSON)).status == status
        did = await ask(bound, "POST", "/reload")
        assert (did.status, did.json["dry_run"]) == (status, False)
    assert [dry_run for _, dry_run in proxy.reloading.asked] == [True, True, False]  # type: ignore[union-attr]


@pytest.mark.parametrize("body", [b"[]", b'{"dry_run": 1}', b'{"dry": true}', b"{", b'"x"'])
async def test_a_body_that_is_no_reload_reloads_nothing(body: bytes) -> None:
    proxy = reloadable(CHANGED)
    async with serving(proxy) as bound:
        assert (await ask(bound, "POST", "/reload", body, **JSON)).status == 400
    assert proxy.reloading.asked == []  # type: ignore[union-attr]


@pytest.mark.parametrize("limit", ["0", "10001", "-1", "x", "", "1e3", "99999999999999999999"])
async def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    async with serving() as bound:
        assert (await ask(bound, "GET", f"/clients?limit={limit}")).status == 400
