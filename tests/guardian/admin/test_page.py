"""The dashboard's files: served as they are, with a policy that lets nothing else run."""

from __future__ import annotations

import re
from pathlib import Path

from config.model import Admin
from guardian.admin import page
from tests.support.admin_port import ANY_PORT, ask, serving
from tests.support.operable import FakeProxy

STATIC = Path(page.__file__).parent / "static"


async def test_every_file_that_the_page_names_is_there_for_anybody(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    async with serving(FakeProxy(), Admin(bind=ANY_PORT, token_file=tmp_path / "token")) as bound:
        index = await ask(bound, "GET", "/")
        assert (index.status, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
        todo = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', index.body.decode()))
        done: set[str] = set()
        while todo:
            path = todo.pop()
            done.add(path)
            answer = await ask(bound, "GET", path)
            assert answer.status == 200, path
            if path.endswith(".js"):
                assert answer.headers["content-type"].startswith("text/javascript")
                named = re.findall(r"^import .* from '\./([^']+)';", answer.body.decode(), re.M)
                todo |= {f"/static/{name}" for name in named} - done
        assert {"/static/app.js", "/static/steer.js", "/static/vendor/uplot.js"} <= done


async def test_the_policy_lets_nothing_but_these_files_run() -> None:
    async with serving() as bound:
        policy = (await ask(bound, "GET", "/")).headers["content-security-policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy


async def test_there_is_no_way_out_of_the_folder() -> None:
    async with serving() as bound:
        for path in (
            "/static/../page.py",
            "/static/..%2fpage.py",
            "/static/",
            "/static/vendor/README.md",
            "/static//app.js",
        ):
            assert (await ask(bound, "GET", path)).status == 404, path


def test_the_vendored_libraries_come_with_their_licences() -> None:
    told = (STATIC / "vendor" / "README.md").read_text()
    for file in (STATIC / "vendor").iterdir():
        assert file.name in told or file.name == "README.md", file.name
    for name in ("htm", "preact", "uplot"):
        assert (STATIC / "vendor" / f"LICENSE.{name}").stat().st_size > 500
