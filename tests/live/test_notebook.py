"""A notebook as people use it: in Chromium, from top to bottom as a run, and left alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.notebook_kit import Place, Server, notebook

pytestmark = pytest.mark.live
PATIENCE = 60_000  # milliseconds: a machine that tests everything at once is slow


@pytest.fixture
def page() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        assert not os.environ.get("CI"), "CI has Chromium and playwright"
        pytest.skip("needs Chromium and playwright")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        made = browser.new_page()
        made.set_default_timeout(PATIENCE)
        yield made
        browser.close()


def run_cell(page: Any, code: str) -> None:
    page.locator(".jp-Notebook .jp-Cell.jp-mod-active .cm-content").last.click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")


def test_open_run_plot_and_restart_in_chromium(notebook_place: Place, page: Any) -> None:
    server = Server.start(notebook_place.root, notebook_place.home)
    try:
        page.goto(server.url)
        page.click('.jp-LauncherCard[data-category="Notebook"]')
        page.wait_for_selector("text=| Idle")
        assert "token" not in page.url
        run_cell(page, "import os, sys; x = 41; print(x + 1, sys.executable, os.getcwd())")
        page.wait_for_selector("text=42 /opt/venv/bin/python /app/src")
        run_cell(page, "import matplotlib.pyplot as plt; plt.plot([1, 2, 3]);")
        page.wait_for_selector(".jp-OutputArea-output img")
        assert page.evaluate("document.querySelector('.jp-OutputArea-output img').naturalWidth") > 100
        page.keyboard.press("Escape")
        page.keyboard.press("0")
        page.keyboard.press("0")
        page.click(".jp-Dialog .jp-mod-accept")
        page.wait_for_selector(".jp-Dialog", state="detached")
        page.wait_for_selector("text=| Idle")
        run_cell(page, "print('anew' if 'x' not in globals() else 'the same', 6 * 7)")
        page.wait_for_selector("text=anew 42")
        page.keyboard.press("Control+s")
        page.click(".jp-Dialog .jp-mod-accept")  # the name that it asks for: the one it has
        page.wait_for_selector(".jp-Dialog", state="detached")
        page.wait_for_selector(".jp-mod-dirty", state="detached")
    finally:
        code = server.stop()
    assert code == 0, server.said
    saved = notebook_place.root / "src/Untitled.ipynb"
    assert saved.stat().st_uid == os.getuid() and "plt.plot" in saved.read_text()


def test_it_ends_when_nobody_uses_it(notebook_place: Place) -> None:
    server = Server.start(notebook_place.root, notebook_place.home, "--idle-stop", "1s",
                          SSH_CONNECTION="10.0.0.2 1 10.0.0.9 22")
    assert server.process.wait(60) == 0
    server.stop()
    assert "ended after 1 s without activity" in server.said and f"ssh -N -L {server.port}:127.0.0.1:" in server.said


def test_from_top_to_bottom_as_a_run(notebook_place: Place, tmp_path: Path) -> None:
    notebook(notebook_place.root / "src/fit.ipynb", "lr = 0.5", "import os, sys\nprint('lr', lr, os.getcwd())\n"
             "print('careful', file=sys.stderr)", "lr * 2", tags=("parameters",))
    done = notebook_place("run", "--param", "lr=0.1", "src/fit.ipynb")
    assert (done.returncode, done.stdout) == (0, "lr 0.1 /app/src\n"), done.stderr
    assert "careful" in done.stderr
    output = notebook_place.root / "results/fit.ipynb"
    cells = json.loads(output.read_text())["cells"]
    assert [c["metadata"]["tags"] for c in cells[:2]] == [["parameters"], ["injected-parameters"]]
    assert cells[3]["outputs"][0]["data"]["text/plain"] == ["0.2"] and output.stat().st_uid == os.getuid()
    again = notebook_place("rerun", "last", "--in", str(tmp_path / "again"))
    assert again.returncode == 0 and "identical" in again.stdout, again.stdout + again.stderr


def test_a_cell_that_fails_is_the_runs_failure(notebook_place: Place) -> None:
    notebook(notebook_place.root / "src/bad.ipynb", "print('before')", "1 / 0", "print('after')")
    done = notebook_place("run", "src/bad.ipynb")
    assert (done.returncode, done.stdout) == (1, "before\n") and "ZeroDivisionError" in done.stderr
    cells = json.loads((notebook_place.root / "results/bad.ipynb").read_text())["cells"]
    assert [o["output_type"] for c in cells for o in c["outputs"]] == ["stream", "error"]
    (notebook_place.root / "src/no.ipynb").write_text("no json")
    done = notebook_place("run", "src/no.ipynb")
    assert done.returncode == 2 and "is no notebook" in done.stderr
