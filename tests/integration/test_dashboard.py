"""The dashboard in a real browser: live values, a drain by click and by keyboard, a lost feed, and nothing for axe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from balancer.snapshot import Will
from config.model import Admin, Role
from guardian.events import Actor, Events, Kind
from guardian.pki import PkiFiles
from health.state import Health
from tests.support import operable
from tests.support.admin_port import ANY_PORT
from tests.support.busy import Real, busy_estate
from tests.support.operable import FakeProxy
from tests.support.watched import watched

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE: Final = 20_000  # ms: the machine may be busy

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield started
        started.close()


@attrs.define(eq=False)
class Tab:
    """A page, and what the browser had to say about it."""

    page: Page
    said: list[str] = attrs.field(factory=list)

    @property
    def violations(self) -> list[str]:
        return [text for text in self.said if "Content Security Policy" in text or text.startswith("uncaught")]

    def show(self, url: str) -> Page:
        self.page.goto(url)
        expect(self.page.locator("[data-feed]")).to_have_attribute("data-feed", "live")
        return self.page


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """Fails the test if anything was refused by the page's policy, or any script failed."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    found = Tab(page)
    page.on("console", lambda message: found.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.said.append(f"uncaught: {error}"))
    yield found
    context.close()
    assert found.violations == []


def fake(proxy: FakeProxy) -> Callable[[trio.Nursery], Any]:
    async def start(nursery: trio.Nursery) -> FakeProxy:
        nursery.start_soon(proxy.lessons.run)
        return proxy

    return start


def busy(known: FakeProxy) -> None:
    """Let a snapshot's counts go on, as traffic does."""
    first = known.current.groups[0].devices[0]
    known.change(first.name, outcomes={**first.outcomes, "ok": first.outcomes["ok"] + 20})


def eventful() -> Events:
    """One event of each kind that the timeline shows."""
    events = Events()
    operator = Actor(name="night shift", source="192.0.2.7")
    events.tell(Kind.START, "guardian", "serving", detail="version 1.0")
    events.tell(Kind.DEVICE, "payments/hsm2", "down", detail="was up, reason connection refused")
    events.tell(Kind.FAILOVER, "payments", "backups serve", detail="devices hsm4")
    events.tell(Kind.WRITE, "payments/hsm2", "write in doubt", detail="command GPKA, write 12")
    events.tell(Kind.RELOAD, "/etc/guardian.yaml", "failed", by=operator, detail="the configuration has errors")
    events.tell(Kind.WILL, "payments/hsm3", "maint", by=operator)
    return events


def troubled() -> FakeProxy:
    """Something in every state, so that every colour is there."""
    quick, slow = operable.histogram(*[0.005] * 40), operable.histogram(*[0.5] * 40)
    devices = (
        operable.device("hsm1", role=Role.PRIMARY, recent=quick),
        operable.device("hsm2", recent=slow),
        operable.device("hsm3", health=Health.DOWN, in_service=False, reason="<b>connection</b> refused"),
        operable.device("hsm4", will=Will.DRAIN, in_service=False, reason="drain by the operator", recent=quick),
        operable.device("hsm5", role=Role.BACKUP, in_service=False, outstanding=0, recent=quick),
        operable.device("hsm6", health=Health.PROBATION, behind=True),
    )
    lost = operable.group("vault", operable.device("kms1", in_service=False, health=Health.UNSAFE))
    workers = (operable.worker(1), operable.worker(2, up=False, restarts=3))
    proxy = FakeProxy(operable.proxy(operable.group("payments", *devices), lost, workers=workers), react=busy)
    proxy.events = eventful()
    return proxy


AXE: Final = resources.files("axe_playwright_python") / "axe.min.js"


def axe(page: Page, theme: Any) -> list[str]:
    """What axe-core finds wrong, each with where; of the light theme only what a theme can change.

    It is put in past the page's own policy.
    """
    page.emulate_media(color_scheme=theme)
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if theme == "light" else {})
    found = page.evaluate("async (options) => (await axe.run(document, options)).violations", options)
    return [f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def device_row(page: Page, place: str) -> Locator:
    return page.locator(f"tr[data-device='{place}']")


BACKGROUND: Final = "getComputedStyle(document.body).backgroundColor"


def test_values_change_live_and_the_theme_stays_as_chosen(tab: Tab) -> None:
    proxy = FakeProxy(react=busy)
    with watched(fake(proxy)) as here:
        page = tab.show(here.url)
        assert not page.get_by_role("heading", name="Workers").count()  # there is one process
        row = device_row(page, "payments/hsm1")
        expect(row.locator("[data-value=rate]")).to_have_text(re.compile(r"^(1?\d\d)$"))  # 20 in each fifth of a second
        expect(row).to_contain_text("In service")
        here.call(lambda: proxy.change("hsm1", health=Health.DOWN, in_service=False, reason="no answer to pings"))
        expect(row).to_contain_text("Down")
        expect(row).to_contain_text("no answer to pings")
        here.call(lambda: proxy.change("hsm1", health=Health.UP, in_service=True, reason=""))
        expect(row).to_contain_text("In service")
        dark = page.evaluate(BACKGROUND)
        page.get_by_label("Theme").select_option("light")
        expect(page.locator("body")).not_to_have_css("background-color", dark)
        light = page.evaluate(BACKGROUND)
        tab.show(here.url)
        assert page.evaluate(BACKGROUND) == light


def test_axe_finds_nothing_in_both_themes(tab: Tab) -> None:
    """Nor is what a device says taken for markup, since that is here too."""
    page = tab.page
    with watched(fake(troubled())) as here:
        page.emulate_media(reduced_motion="reduce")
        tab.show(here.url)
        expect(device_row(page, "payments/hsm2")).to_contain_text("Slow, ")
        expect(device_row(page, "payments/hsm3")).to_contain_text("<b>connection</b> refused")
        expect(page.locator("[data-worker='1']")).to_contain_text("13 clients, 3 outstanding")
        expect(page.locator("[data-worker='2']")).to_contain_text("does not run, started again 3 times")
        device_row(page, "payments/hsm2").get_by_role("rowheader").get_by_role("button").click()
        assert axe(page, "dark") == axe(page, "light") == []
        page.get_by_role("button", name="Drain payments/hsm1").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert axe(page, "light") == []
        page.keyboard.press("Escape")
        here.run(here.end)
        expect(page.get_by_role("alert")).to_contain_text("The feed is lost")
        assert axe(page, "light") == []


def test_a_lost_feed_is_said_and_comes_back(tab: Tab) -> None:
    proxy = FakeProxy(react=busy)
    with watched(fake(proxy)) as here:
        page = tab.show(here.url)
        expect(page.get_by_role("button", name="Drain payments/hsm1")).to_be_visible()
        here.run(here.end)
        expect(page.get_by_role("alert")).to_contain_text("The feed is lost for")
        expect(page.get_by_role("button", name="Drain payments/hsm1")).to_have_count(0)
        proxy.change("hsm1", outstanding=17)
        here.run(here.serve)
        expect(page.locator("[data-feed]")).to_have_attribute("data-feed", "live")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(device_row(page, "payments/hsm1")).to_contain_text("17 / 32")


@pytest.fixture(scope="module")
def estate_of_two(pki: PkiFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with busy_estate(pki, tmp_path_factory.mktemp("watched")) as real:
        yield real


@pytest.fixture
def real(estate_of_two: Real) -> Real:
    """Both devices quick and in service, whatever was before."""
    real = estate_of_two
    for name in real.estate.devices:
        real.answer_after(name, 0.005)
        real.here.call(real.estate.proxy.set_will, "payments", name, Will.READY, operable.NIGHT_SHIFT)
    real.until(lambda: all(device.in_service for device in real.estate.group.devices))
    return real


def test_a_drain_by_click_asks_shows_progress_and_is_an_event(tab: Tab, real: Real) -> None:
    page = tab.show(real.here.url)
    row = device_row(page, "payments/hsm2")
    page.get_by_role("button", name="Drain payments/hsm2").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 other device of payments is in service")
    assert real.device("hsm2").will is Will.READY  # asked, not yet done

    real.answer_after("hsm2", 2.0)
    real.until(lambda: real.estate.device("hsm2").outstanding > 0)
    dialog.get_by_role("button", name="Drain it").click()
    expect(dialog.locator("[data-value=progress]")).to_contain_text("outstanding")
    expect(row).to_contain_text("Draining")
    expect(dialog.locator("[data-value=progress]")).to_have_text(
        "It is empty. Nothing is outstanding on it and no client is pinned to it."
    )
    expect(row).to_contain_text("Drained")
    told = page.locator("li[data-kind=will][data-result=drain]").first  # the newest
    expect(told).to_contain_text("payments/hsm2")
    expect(told).to_contain_text("from 127.0.0.1")

    real.answer_after("hsm2", 0.005)
    dialog.get_by_role("button", name="Bring it back").click()
    expect(dialog).to_contain_text("It may serve again")
    dialog.get_by_role("button", name="Bring it back").click()
    expect(dialog.locator("[data-value=progress]")).to_have_text("It is in service.")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    assert real.device("hsm2").in_service


def test_the_keyboard_alone_can_drain(tab: Tab, real: Real) -> None:
    page = tab.show(real.here.url)
    page.keyboard.press("/")
    page.keyboard.type("hsm2")
    expect(page.locator("tr[data-device]")).to_have_count(1)
    focused = page.locator("*:focus")
    for _ in range(30):
        page.keyboard.press("Tab")
        if focused.get_attribute("aria-label") == "Drain payments/hsm2":
            break
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert real.device("hsm2").will is Will.READY
    expect(focused).to_have_attribute("aria-label", "Drain payments/hsm2")  # where one was
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    for _ in range(5):
        if focused.text_content() == "Drain it":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    real.until(lambda: real.estate.device("hsm2").will is Will.DRAIN)
    expect(page.locator("p[role=status]")).to_contain_text("payments/hsm2: It is empty")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_what_cannot_be_done_is_said_and_the_last_device_warned_of(tab: Tab) -> None:
    lonely = operable.proxy(operable.group("payments", operable.device("hsm1")))
    proxy = FakeProxy(lonely)
    with watched(fake(proxy)) as here:
        page = tab.show(here.url)
        page.get_by_role("button", name="Drain payments/hsm1").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Nothing else is in service in payments")
        expect(dialog).not_to_contain_text("It is the primary")
        here.call(lambda: setattr(proxy, "set_will", refuse))
        dialog.get_by_role("button", name="Drain it").click()
        expect(dialog.get_by_role("alert")).to_contain_text("It was not done. there is no device hsm1")


def test_without_the_primary_writes_are_refused_which_is_said(tab: Tab) -> None:
    with watched(fake(FakeProxy())) as here:
        page = tab.show(here.url)
        page.get_by_role("button", name="Drain payments/hsm1").click()
        expect(page.get_by_role("dialog")).to_contain_text("It is the primary. Until it is ready again, writes get 902")


def refuse(*_given: object) -> None:
    raise LookupError("there is no device hsm1")


def test_a_token_is_asked_for_and_kept_in_the_tab(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret+/=\n")
    page = tab.page
    with watched(fake(FakeProxy(react=busy)), Admin(bind=ANY_PORT, token_file=tmp_path / "token")) as here:
        page.goto(here.url)
        field = page.get_by_label("This proxy asks for a token")
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not one that this proxy knows")
        assert axe(page, "dark") == []
        field.fill("s3cret+/=")
        page.keyboard.press("Enter")
        expect(page.locator("[data-feed]")).to_have_attribute("data-feed", "live")
        page.get_by_role("button", name="Maint payments/hsm2").click()
        page.get_by_role("dialog").get_by_role("button", name="Take it out").click()
        expect(page.get_by_role("dialog")).to_contain_text("connections still open")
        tab.show(here.url)  # the same tab need not ask again
        page.get_by_role("button", name="Forget the token").click()
        expect(field).to_be_visible()
        assert "s3cret" not in page.url


def hundreds() -> FakeProxy:
    counted = 0

    def react(proxy: FakeProxy) -> None:
        nonlocal counted
        counted += 1
        group = proxy.current.groups[counted % 50]
        changed = attrs.evolve(group.devices[0], outstanding=counted % 32, outcomes={"ok": counted * 50})
        groups = list(proxy.current.groups)
        groups[counted % 50] = attrs.evolve(group, devices=(changed, *group.devices[1:]))
        proxy.current = attrs.evolve(proxy.current, groups=tuple(groups))

    groups = [
        operable.group(f"group{g}", *(operable.device(f"hsm{g}-{d}") for d in range(10)), commands=())
        for g in range(50)
    ]
    proxy = FakeProxy(operable.proxy(*groups), react)
    proxy.change("hsm33-7", health=Health.DOWN, in_service=False, reason="no answer to pings")
    return proxy


def test_five_hundred_devices_do_not_make_the_page_hang(tab: Tab) -> None:
    with watched(fake(hundreds())) as here:
        page = tab.show(here.url)
        expect(page.locator("[data-value=shown]")).to_contain_text("500 devices, 1 not in order")
        expect(page.get_by_role("table").filter(has_text="group0/")).to_have_attribute("aria-rowcount", "501")
        rows = page.get_by_role("group", name="Devices")
        rows.evaluate("region => region.scrollTop = region.scrollHeight")
        expect(page.locator("tr[data-device='group49/hsm49-9']")).to_be_visible()
        before = page.locator("[data-value=at]").text_content()
        expect(page.locator("[data-value=at]")).not_to_have_text(str(before))
        # How late a timer comes is how long a click would have waited.
        worst = page.evaluate(
            """() => new Promise(done => { let worst = 0, last = performance.now(), left = 40;
            const tick = () => { const now = performance.now(); worst = Math.max(worst, now - last - 50); last = now;
                --left ? setTimeout(tick, 50) : done(worst); }; setTimeout(tick, 50); })"""
        )
        assert worst < 1000
        page.get_by_label("Filter devices").fill("hsm33-7")
        expect(page.locator("tr[data-device]")).to_have_count(1)
        page.get_by_label("Filter devices").fill("")
        page.get_by_label("Only what is not in order").check()
        expect(page.locator("tr[data-device]")).to_have_count(1)
