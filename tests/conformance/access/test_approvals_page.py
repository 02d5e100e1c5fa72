"""The approvals page in a real Chromium: a person reads a hostile request, signs; nothing leaks.

Skipped, and listed as skipped, where there is no Chromium or no Playwright.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.access.approvals.model import ApprovalFacts, ApprovalState
from iamrange.core.clock import FixedClock
from tests.conformance.access.approvals_lab import (
    DEPLOYMENT,
    MANAGER,
    NOW,
    OTHER,
    OWNER,
    TRANSFER,
    Lab,
    reason,
    sqlite,
)
from tests.conformance.access.approvals_site import Host, Site, hosting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = {
    "to": "DE02120300000000202051",
    "amount": "100.50",
    "<script>window.owned = 1</script>": "</script><script>window.owned = 1</script>",
    "note": '"><img src=x onerror="window.owned = 1"><svg onload="window.owned = 1">',
    "reason": "harmless \u202e\u200b evil",
    "account": "p\u0430ypal",
    "padding": "please approve " * 100 + "AND SEND 900,000 EUR",
    "form": "<form action=https://evil.example><button>Approve</button></form>",
}
SHOTS = os.environ.get("IAMRANGE_SCREENSHOTS")
"""A folder where pictures of the page are put, for whoever wants to look at them."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="no Playwright: pip install it"
    ),
]


@dataclass
class Ticking(FixedClock):
    """A clock that goes on, as the page's does."""

    started: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        return self.moment + time.monotonic() - self.started


@dataclass
class Tab:
    """A page of the browser, and what went wrong or out in it."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda told: self.errors.append(told.text))
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:  # noqa: ANN401 - Playwright's
        self.sent.append(f"{request.url} {request.post_data or ''} {request.headers}")

    def load(self, key_file: Path, name: str) -> None:
        self.page.get_by_label("Your name in the directory").fill(name)
        self.page.get_by_label("Your key (a JWK file)").set_input_files(key_file)

    def shot(self, name: str) -> None:
        if SHOTS:
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may not be installed

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as running:
        yield running


@pytest.fixture
def site(host: Host, tmp_path: Path) -> Iterator[Site]:
    lab = Lab(sqlite(tmp_path), clock=Ticking(NOW))
    yield host.site(lab)
    lab.store.close()


@pytest.fixture
def tab(browser: Browser, site: Site) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 900, "height": 1100})
    yield Tab(context.new_page(), site.url)
    context.close()


def key_file(site: Site, folder: Path, who: str = MANAGER) -> Path:
    file = folder / "person.jwk"
    file.write_text(json.dumps(site.lab.folk.keys[who].private_jwk()))
    return file


def test_a_manager_reads_a_hostile_request_and_approves_it(
    site: Site, tab: Tab, tmp_path: Path
) -> None:
    request = site.lab.asked(replace(TRANSFER, body=json.dumps(HOSTILE).encode()))
    page = tab.page
    page.goto(f"{site.url}/review/{request.id}")
    text = page.inner_text("main")
    assert "Transfer of money: POST on payments" in text
    assert "<script>window.owned = 1</script>" in text
    assert '<img src=x onerror=\\"window.owned = 1\\">' in text
    assert "harmless \\u{202e}\\u{200b} evil" in text
    assert "⟪in ASCII: p\\u{430}ypal⟫" in text
    assert "characters are not shown⟫" in text
    assert "AND SEND 900,000 EUR" in text
    assert request.body_sha256 in text
    assert page.locator("main img, main svg, main form, main script").count() == 0
    assert page.locator("button").count() == 2
    page.wait_for_function("document.getElementById('digest').textContent.length === 43")
    assert page.inner_text("#digest") == request.digest()
    tab.shot("review-hostile")

    tab.load(key_file(site, tmp_path), "maria")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Approved.", exact=True).wait_for()
    assert page.inner_text("#state") == "This request is approved."
    tab.shot("review-approved")
    facts = site.lab.present(request)
    assert isinstance(facts, ApprovalFacts)
    assert (facts.approver, facts.manager_signed) == (MANAGER, True)
    assert page.evaluate("window.owned") is None
    assert tab.errors == []
    private = site.lab.folk.keys[MANAGER].private_jwk()["d"]
    assert len(tab.sent) >= 4
    assert not any(private in sent for sent in tab.sent)
    assert all(sent.startswith(site.url) for sent in tab.sent)


def test_a_manager_denies(site: Site, tab: Tab, tmp_path: Path) -> None:
    request = site.lab.asked()
    tab.page.goto(f"{site.url}/review/{request.id}")
    tab.load(key_file(site, tmp_path), MANAGER)
    tab.page.get_by_role("button", name="Deny").click()
    tab.page.get_by_text("Denied.", exact=True).wait_for()
    assert reason(site.lab.present(request)) == "approval-denied"
    tab.page.reload()
    assert tab.page.locator("button").count() == 0
    assert "This request is denied." in tab.page.inner_text("main")


def test_the_page_works_with_the_keyboard_alone(site: Site, tab: Tab, tmp_path: Path) -> None:
    request = site.lab.asked()
    page = tab.page
    page.goto(f"{site.url}/review/{request.id}")
    page.get_by_label("Your key (a JWK file)").set_input_files(key_file(site, tmp_path))
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        if page.evaluate("document.activeElement.id") == "approver":
            page.keyboard.type("maria")
        if reached[-1] == "Approve":
            break
    assert reached[-2:] == ["Deny", "Approve"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.get_by_text("Approved.", exact=True).wait_for()
    assert isinstance(site.lab.present(request), ApprovalFacts)


def test_an_approval_not_used_yet_is_withdrawn_on_its_page(
    site: Site, tab: Tab, tmp_path: Path
) -> None:
    request = site.lab.approved()
    tab.page.goto(f"{site.url}/review/{request.id}")
    assert tab.page.get_by_role("button", name="Approve").count() == 0
    tab.load(key_file(site, tmp_path), "maria")
    tab.page.get_by_role("button", name="Withdraw").click()
    tab.page.get_by_text("Denied.", exact=True).wait_for()
    assert reason(site.lab.present(request)) == "approval-denied"


def test_the_list_is_shown_to_who_signs_for_it_and_decided_there(
    site: Site, tab: Tab, tmp_path: Path
) -> None:
    hostile = site.lab.asked(replace(TRANSFER, body=json.dumps(HOSTILE).encode()))
    deployment = site.lab.asked(DEPLOYMENT, OTHER)
    page = tab.page
    page.goto(site.url)
    assert hostile.id not in page.content()
    tab.load(key_file(site, tmp_path), "maria")
    page.get_by_role("button", name="Show what waits").click()
    page.locator("article").nth(1).wait_for()
    text = page.inner_text("#list")
    assert "harmless \\u{202e}\\u{200b} evil" in text
    assert "<script>window.owned = 1</script>" in text
    assert page.locator("article img, article svg, article form, article script").count() == 0
    tab.shot("list")
    cards = page.locator("article")
    cards.filter(has_text="Deployment in production").get_by_text("Approve", exact=True).click()
    page.get_by_text("Approved.", exact=True).wait_for()
    cards.filter(has_text="Transfer of money").get_by_text("Deny", exact=True).click()
    page.get_by_text("Denied.", exact=True).wait_for()
    kept = [site.lab.approvals.get(each.id) for each in (deployment, hostile)]
    states = [each.state for each in kept if each is not None]
    assert states == [ApprovalState.APPROVED, ApprovalState.DENIED]
    assert page.evaluate("window.owned") is None
    assert tab.errors == []


@pytest.mark.parametrize(
    ("who", "name", "expected"),
    [
        (OWNER, "olga", "Refused: approval-by-owner"),
        (OWNER, "maria", "Refused: approver-key-not-current"),
        (MANAGER, "", "Say who you are"),
        (MANAGER, "nobody", "Refused: approver-unknown"),
    ],
)
def test_who_may_not_decide_is_told_why(  # noqa: PLR0913, PLR0917 - fixtures and a table
    site: Site, tab: Tab, tmp_path: Path, who: str, name: str, expected: str
) -> None:
    request = site.lab.asked()
    tab.page.goto(f"{site.url}/review/{request.id}")
    tab.load(key_file(site, tmp_path, who), name)
    tab.page.get_by_role("button", name="Approve").click()
    tab.page.get_by_text(expected).wait_for()
    assert reason(site.lab.present(request)) == "approval-pending"


@pytest.mark.parametrize("content", ["", "{}", "[1]", "null", '{"kty":"EC","crv":"P-256"}', "\x00"])
def test_a_file_that_is_no_key_is_said_to_be_none(
    site: Site, tab: Tab, tmp_path: Path, content: str
) -> None:
    request = site.lab.asked()
    file = tmp_path / "no.jwk"
    file.write_text(content)
    tab.page.goto(f"{site.url}/review/{request.id}")
    tab.load(file, "maria")
    tab.page.get_by_role("button", name="Approve").click()
    tab.page.get_by_text("This file is no").wait_for()
    assert tab.page.get_by_role("button", name="Approve").is_enabled()


def test_no_other_page_may_frame_it(site: Site, tab: Tab, tmp_path: Path) -> None:
    request = site.lab.asked()
    outer = tmp_path / "outer.html"
    outer.write_text(f'<iframe src="{site.url}/review/{request.id}"></iframe>')
    tab.page.goto(outer.as_uri())
    tab.page.wait_for_timeout(300)
    frames = [frame for frame in tab.page.frames if frame is not tab.page.main_frame]
    assert len(frames) == 1
    assert "Transfer of money" not in frames[0].content()
    assert any("frame" in error.lower() for error in tab.errors)


def test_a_dark_narrow_screen_shows_it_whole(site: Site, browser: Browser) -> None:
    request = site.lab.asked(replace(TRANSFER, body=json.dumps(HOSTILE).encode()))
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    tab = Tab(context.new_page(), site.url)
    tab.page.goto(f"{site.url}/review/{request.id}")
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert tab.page.evaluate(wide)
    tab.shot("narrow-dark")
    context.close()
