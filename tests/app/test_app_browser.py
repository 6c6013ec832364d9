"""What people do with the pages, in a real browser."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import App, kernels_of, serving, until
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, sync_playwright

PATIENCE = 120_000

pytestmark = pytest.mark.slow


@pytest.fixture
def browser(tool: Callable[[str], str]) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=tool("chromium"), args=["--no-sandbox"])
        context = found.new_context(viewport={"width": 1200, "height": 900})
        context.set_default_timeout(PATIENCE)
        yield context
        found.close()


@pytest.fixture
def app() -> Iterator[App]:
    """An app of a folder that is not below /tmp: there marimo asks for a name before it saves."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="stargazer-app-") as folder:
        yield from _served(Path(folder) / "notebooks")


def _served(root: Path) -> Iterator[App]:
    shadow = root / "workspace" / "stargazer"
    shadow.mkdir(parents=True)
    for place in (shadow, root / "stargazer"):
        place.mkdir(exist_ok=True)
        (place / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    with serving(root) as found:
        yield found


def _tile(page: Page, name: str) -> Any:
    return page.locator(f'[data-notebook="workspace/{name}"]')


def test_new_edit_save_stop_open_run_copy(app: App, browser: BrowserContext) -> None:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(app.address)
    page.wait_for_selector("h1")
    assert "token" not in page.url
    page.click("text=New notebook")
    page.keyboard.type("first")
    page.keyboard.press("Enter")
    file = app.root / "workspace" / "first.py"
    page.wait_for_selector("#workspace-first")

    with browser.expect_page() as opened:
        _tile(page, "first").locator("[data-open=edit]").click()
    notebook = opened.value
    notebook.wait_for_selector(".cm-content")
    assert notebook.url.startswith("http://localhost:")
    _write(notebook, f"import stargazer\nopen({str(app.root / 'seen')!r}, 'w').write(stargazer.__file__)")
    _pressed(notebook, "Control+s", lambda: "import stargazer" in file.read_text())
    seen = app.root / "seen"
    _pressed(notebook, "Control+Enter", lambda: seen.exists() and seen.read_text())
    assert not seen.read_text().startswith(str(app.root)), "a folder beside the notebook is not the package"
    _cannot_use_the_app(notebook, app)
    notebook.keyboard.press("Control+`")
    notebook.wait_for_selector(".xterm")

    other = browser.new_page()
    other.goto(app.url)
    with browser.expect_page() as again:
        _tile(other, "first").locator("[data-open=edit]:has-text('Open')").click()
    again.value.wait_for_selector("text=/already connected|Take over|taken over/i")
    assert len(kernels_of(app.root)) == 1

    _tile(page, "first").locator("[data-stop]").click()
    page.wait_for_selector('[data-notebook="workspace/first"][data-state=closed]')
    assert kernels_of(app.root) == []
    seen.unlink()
    with browser.expect_page() as run:
        _tile(page, "first").locator("[data-open=run]").click()
    until(lambda: seen.exists() and seen.read_text())
    run.value.wait_for_load_state()
    assert run.value.locator(".xterm").count() == 0

    snapshots = app.root / "snapshots"
    snapshots.mkdir()
    os.replace(shutil.copy(file, app.root / "fig.py"), snapshots / "fig.py")
    page.reload()
    page.click('#snapshots-fig [data-act="copy"]')
    page.wait_for_selector("#workspace-fig")
    page.click('#snapshots-fig [data-act="copy"]')
    page.wait_for_selector("#said:has-text('already')")
    assert wrong == []


TASKS = """# /// script
# [tool.stargazer]
# title = "Words"
# description = "Says words loudly"
# ///
import marimo

app = marimo.App()

with app.setup:
    import marimo as mo
    import stargazer as sg


@app.cell
def _():
    @sg.task
    def shout(work: sg.Workdir, *, word: str) -> sg.Asset:
        \"\"\"Write a word in capitals.\"\"\"
        out = work.file("word.txt")
        out.write_text(word.upper())
        return sg.Asset(path=out)
    return (shout,)


@app.cell
def _():
    word = mo.ui.text("hello")
    word
    return (word,)


@app.cell
def _(shout, word):
    said = sg.run(shout(word=word.value)).result()
    return (said,)


if __name__ == "__main__":
    app.run()
"""


def test_promote_graduate_freeze_share(browser: BrowserContext, short: bool) -> None:
    """What the buttons of a notebook's page do that take longer than a page waits."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="stargazer-app-") as folder:
        root, lab = Path(folder) / "notebooks", Path(folder) / "lab"
        workspace = root / "workspace"
        workspace.mkdir(parents=True)
        for name in ("promoted", "raised"):
            (workspace / f"{name}.py").write_text(TASKS)
        (workspace / "odd.py").write_text(TASKS.replace("# title", "# # title"))
        settings = Path(folder) / "settings"
        settings.mkdir()
        (settings / "stargazer.yaml").write_text(f"stargazer: {{remotes: [{{name: lab, store: 'file://{lab}'}}]}}\n")
        places = {each: f"{folder}/{each}" for each in ("store", "cache")}
        env = {f"DASK_STARGAZER__{name.upper()}": place for name, place in places.items()}
        with serving(root, **env, DASK_CONFIG=str(settings)) as app:
            page = browser.new_page()
            page.on("dialog", lambda dialog: dialog.accept())
            page.goto(app.address)
            page.wait_for_selector("h1")

            page.goto(f"{app.url}/notebooks/workspace/promoted")
            page.click("[data-dialog=d-promote]")
            page.fill("#d-promote [name=task]", "shout")
            page.fill("#d-promote [name=to]", "words.py")
            page.click("#d-promote button.main")
            page.wait_for_selector("#said:has-text('the notebook imports it')")
            assert "def shout" in (workspace / "words.py").read_text()

            page.goto(f"{app.url}/notebooks/workspace/odd")
            page.click("[data-act=graduate]")
            page.wait_for_selector("#outcome:has-text('no title; write one into its header')")
            page.goto(f"{app.url}/notebooks/workspace/raised")
            page.click("[data-act=graduate]")
            page.wait_for_selector("#workflows-raised")
            assert not (workspace / "raised.py").exists()
            if short:
                return

            page.goto(f"{app.url}/notebooks/workspace/promoted")
            page.click("[data-act=freeze]")
            page.wait_for_selector("#snapshots-promoted")
            page.goto(f"{app.url}/notebooks/snapshots/promoted")
            page.click("[data-dialog=d-share]")
            page.select_option("#d-share [name=remote]", "lab")
            page.click("#d-share button.main")
            page.wait_for_selector("#said:has-text('lab has it now')")
            assert lab.is_dir()


def _write(notebook: Page, text: str) -> None:
    """Write into the first cell; a page that is still being set up may lose what is typed."""
    editor = notebook.locator(".cm-content").first
    end = time.monotonic() + 120
    while "import stargazer" not in (editor.text_content() or ""):
        assert time.monotonic() < end, "the editor takes no text"
        editor.click()
        notebook.keyboard.insert_text(text)
        notebook.wait_for_timeout(1000)


def _pressed(notebook: Page, keys: str, told: Callable[[], Any]) -> None:
    """Press keys until they did what they should: the kernel may not be there yet."""
    end = time.monotonic() + 120
    while not told():
        assert time.monotonic() < end, f"{keys} did nothing"
        notebook.keyboard.press(keys)
        for _ in range(20):
            if told():
                return
            notebook.wait_for_timeout(250)


def _cannot_use_the_app(notebook: Page, app: App) -> None:
    """A script of a notebook reads no page of the app, and changes nothing."""
    script = """async (url) => {
        const tried = [];
        const own = {credentials: "include"};
        for (const [path, options] of [["/", {}], ["/", own], ["/api/notebooks", own],
            ["/api/notebooks", {...own, method: "POST", body: "{}"}]]) {
          tried.push(await fetch(url + path, options).then((answer) => answer.status, () => "refused"));
        }
        const here = location.origin + "/api/notebooks";
        tried.push(await fetch(here, own).then((answer) => answer.status, () => "refused"));
        const frame = document.createElement("iframe");
        frame.src = url + "/";
        document.body.append(frame);
        await new Promise((done) => { frame.onload = done; setTimeout(done, 3000); });
        try { tried.push(frame.contentDocument ? "read" : "refused"); } catch { tried.push("refused"); }
        frame.remove();
        return tried;
    }"""
    found = notebook.evaluate(script, app.url)
    assert all(each in ("refused", 401, 403) for each in found), found
    assert app.state()["workspace/first"]["state"] == "ready"


PAGES = (
    "/",
    "/files",
    "/files/add",
    "/runs",
    "/catalog?word=samtools",
    "/catalog/samtools_faidx",
    "/settings",
    "/nothing",
)


def test_every_page_by_keyboard_narrow_and_dark(app: App, browser: BrowserContext) -> None:
    app.ask("/api/notebooks", 201, name="first")
    page = browser.new_page()
    page.goto(app.address)
    page.wait_for_selector("h1")
    for path in (*PAGES, "/notebooks/workspace/first"):
        for width, scheme in ((380, "dark"), (1200, "light")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(app.url + path)
            page.wait_for_selector("h1")
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, f"{path} is {over} wider than a screen of {width}"
            _is_accessible(page, f"{path} {scheme}")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        unnamed = page.evaluate(
            """[...document.querySelectorAll("input,select,textarea,button,a")].filter((each) => each.offsetParent
            && !each.labels?.length && !each.textContent.trim() && !each.ariaLabel && !each.title).length"""
        )
        assert unnamed == 0, path


def _is_accessible(page: Page, where: str) -> None:
    """No serious finding of axe."""
    found = Axe().run(page).response["violations"]
    serious = [f"{each['id']}: {[node['html'] for node in each['nodes']][:3]}" for each in found
               if each["impact"] in ("serious", "critical")]  # fmt: skip
    assert serious == [], f"{where}: {serious}"


def test_an_upload_that_is_interrupted_goes_on(app: App, browser: BrowserContext, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with open(large, "wb") as file:
        for number in range(40):
            file.write(bytes([number]) * (1 << 20))
    page = browser.new_page()
    page.goto(app.address)
    page.wait_for_selector("h1")
    page.goto(f"{app.url}/files/add")
    asked: list[str] = []

    def cut(route: Any) -> None:
        asked.append(route.request.url)
        route.abort() if len(asked) in (2, 3) else route.continue_()

    page.route("**/api/uploads/*?offset=*", cut)
    page.set_input_files("#add-files", str(large))
    page.click("#add button")
    end = time.monotonic() + 120
    while len(asked) < 4:
        assert time.monotonic() < end, "the page does not go on after a broken connection"
        page.wait_for_timeout(200)  # requests are routed while the page is waited for
    page.reload()
    asked[:] = ["", "", "", ""]
    page.set_input_files("#add-files", str(large))
    page.click("#add button")
    page.wait_for_selector("#added a")
    from stargazer.cid import cid_of_path

    assert page.text_content("#added a") == cid_of_path(large)
    assert "offset=0" not in asked[4], "what had arrived was not sent again"
