"""A real browser: each role logs in, finds the demo case, acts; no console errors; axe finds nothing.

Screenshots are taken where `$FRONTGATE_SHOTS` names a folder for them: they are for eyes, and painting
whole pages is much of what these tests would cost.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from console_site import CASE, PASSWORD, PEOPLE, Site
from ledger import longer
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 120_000
WIDTHS = {"desktop": (1360, 900), "phone": (390, 844)}
PAGES = {
    "clerk": ("/", "/cases", f"/cases/{CASE}", f"/persons/{CASE}-P001", "/deadlines?kind=all", "/questions",
              "/statistics", "/account", "/handbook/arrest-request.html"),
    "committee": ("/", f"/cases/{CASE}", "/statistics", "/questions/paused-unresumed",
                  "/deadlines?kind=paused"),
    "operator": ("/", "/failures", "/failures?kind=waiting", "/units", "/tokens"),
    "hub-one": ("/", "/failures", "/units", "/approvals", "/users"),
    "auditor": ("/", "/audit", "/users"),
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


Shots = Callable[[Page | Locator, str, bool], None]


@pytest.fixture
def shoot() -> Shots:
    """Takes a screenshot under a name, of the whole page or of what is seen of it."""
    wanted = os.environ.get("FRONTGATE_SHOTS", "")

    def shoot(what: Page | Locator, name: str, whole: bool) -> None:
        if not wanted:
            return
        path = Path(wanted) / name
        if isinstance(what, Page):
            what.screenshot(path=path, full_page=whole, timeout=PATIENCE_MS)
        else:
            what.screenshot(path=path)

    return shoot


def enter(
    browser: Browser, site: Site, login: str, width: str = "desktop"
) -> tuple[Page, list[str]]:
    """A page of a person who is logged in, and the errors that its console shows from now on."""
    size = WIDTHS[width]
    context: BrowserContext = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, locale="zh-CN"
    )
    context.set_default_timeout(PATIENCE_MS)
    page, errors = context.new_page(), []
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(site.url + "/login")
    page.fill("[name=login]", login)
    page.fill("[name=password]", PASSWORD)
    page.click("button")
    page.wait_for_selector(".who", timeout=60_000)
    return page, errors


@pytest.mark.timeout(600)
@pytest.mark.parametrize("width", list(WIDTHS))
@pytest.mark.parametrize("login", list(PAGES))
def test_pages_are_sound_for_every_role(
    browser: Browser, site: Site, shoot: Shots, login: str, width: str
) -> None:
    page, errors = enter(browser, site, login, width)
    for number, path in enumerate(PAGES[login]):
        page.goto(site.url + path)
        is_book = path.startswith("/handbook")
        shoot(page, f"{login}-{number}-{width}.png", not is_book)
        assert page.title()
        # Nothing is wider than the window: tables scroll within their own box.
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1, path
        if width == "desktop" and not is_book:
            found = Axe().run(page)
            assert found.violations_count == 0, (path, found.generate_report())
    page.wait_for_load_state("networkidle")
    assert errors == [], errors
    page.context.close()


@pytest.mark.timeout(300)
def test_a_clerk_finds_the_case_its_node_and_its_deadline(browser: Browser, site: Site) -> None:
    page, errors = enter(browser, site, "clerk")
    page.goto(site.url + "/cases")
    page.fill("[name=q]", "罗某")
    page.press("[name=q]", "Enter")
    page.wait_for_selector("#rows a")
    page.click("text=罗某、杨某盗窃案")
    page.wait_for_selector(".picture svg")
    assert page.locator(".picture svg a[aria-label*='审查逮捕决定']").count() == 1
    assert page.locator(".picture .due-bar").count() >= 3
    assert page.locator("text=批准逮捕").count() >= 1
    page.locator("text=查看回执").first.click()
    page.wait_for_selector("#receipts")
    assert "已送达" in page.inner_text("#receipts")
    assert page.url.endswith(CASE), "the receipts came into the page"
    page.click("text=English")
    page.wait_for_selector(".side >> text=Deadlines")
    assert page.get_attribute("html", "lang") == "en"
    page.goto(site.url + f"/cases/{CASE}")
    assert "Course" in page.inner_text("main")
    assert errors == []
    page.context.close()


@pytest.mark.timeout(300)
def test_an_operator_replays_a_failure_by_hand(browser: Browser, site: Site) -> None:
    page, errors = enter(browser, site, "operator")
    page.goto(site.url + "/failures")
    page.locator("table a").first.click()
    page.click("summary:has-text('重发')")
    page.fill("details[open] [name=reason]", "浏览器测试：原因已排除")
    page.check("details[open] [name=sure]")
    page.click("details[open] button")
    page.wait_for_selector("[role=status]")
    assert "已重新排队" in page.inner_text("[role=status]")
    assert site.events("replay")[-1]["actor"] == "console:operator"
    assert errors == []
    page.context.close()


@pytest.mark.timeout(300)
def test_everything_can_be_read_without_javascript_and_on_paper(
    browser: Browser, site: Site, tmp_path: Path
) -> None:
    page, _ = enter(browser, site, "clerk")
    state = page.context.storage_state()
    plain = browser.new_context(java_script_enabled=False, storage_state=state, locale="zh-CN")
    page = plain.new_page()
    page.goto(site.url + "/cases?q=罗某")
    assert page.locator("table a").count() == 1
    page.goto(site.url + f"/cases/{CASE}")
    assert page.locator(".picture svg").count() == 1
    assert page.locator("text=提请批准逮捕").count() > 0
    page.emulate_media(media="print")
    assert not page.is_visible("header.top")
    assert not page.is_visible(".side")
    assert page.is_visible(".printed")
    page.pdf(path=tmp_path / "case.pdf", format="A4")
    plain.close()


@pytest.mark.timeout(300)
def test_the_keyboard_leads_everywhere(browser: Browser, site: Site) -> None:
    page, _ = enter(browser, site, "hub-one")
    page.goto(site.url + "/failures")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName"))
    assert {"A", "INPUT", "BUTTON", "SUMMARY"} <= seen
    page.context.close()


def test_pages_are_light(site: Site) -> None:
    """The page and everything it loads weigh less than 300 KB."""
    for login, paths in PAGES.items():
        assert login in PEOPLE
        for path in paths:
            page = site.client(login).get(path)
            weight = len(page.content)
            for name in set(_loaded(page.text)):
                weight += len(site.client(login).get(name).content)
            assert weight < 300_000, (path, weight)


def _loaded(text: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/static/[^"]+|/handbook/search\.js)"', text)


@pytest.mark.timeout(300)
def test_a_long_course_is_walked_by_keyboard(browser: Browser, site: Site, shoot: Shots) -> None:
    with longer(site.ledger.file, CASE, 230):
        page, errors = enter(browser, site, "clerk")
        page.goto(site.url + f"/cases/{CASE}")
        shoot(page, "long-course.png", True)
        assert Axe().run(page).violations_count == 0
        assert "第 1–100 个节点" in page.inner_text("nav.pager")
        page.locator("nav.pager [rel=next]").focus()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        page.wait_for_url("**/cases/*?from=100")
        assert "第 101–200 个节点" in page.inner_text("nav.pager")
        page.locator("nav.pager [rel=prev]").focus()
        page.keyboard.press("Tab")
        assert "较晚" in page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Enter")
        page.wait_for_url("**/cases/*?from=200")
        assert page.locator("[rel=next]").count() == 0
        assert page.locator("tr[id^=m]").count() == 35
        page.set_viewport_size({"width": WIDTHS["phone"][0], "height": WIDTHS["phone"][1]})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1
        shoot(page.locator("nav.pager"), "long-course-phone.png", False)
    assert errors == [], errors
    page.context.close()
