"""Make the README's pictures, by ``.[scrna]`` and Playwright: ``python docs/make/pictures.py [CHROMIUM]``.

Simulated cells are planned, clustered and traced in a store of their own; each picture is what a notebook shows, or the
report that the workflow made.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
from playwright.sync_api import Browser, sync_playwright

import stargazer as sg
from stargazer.assets import AnnData
from stargazer.demo.scrna import simulate
from stargazer.tasks.scrna import report
from stargazer.workflows import cluster_cells

PICTURES = Path(__file__).parents[1] / "pictures"
PAGE = """<!doctype html><meta charset="utf-8"><style>
body { margin: 16px; font: 14px system-ui, sans-serif; color: #1f2328; background: white; display: inline-block }
</style>"""


def shoot(browser: Browser, html: Path, name: str, clip: tuple[int, int]) -> None:
    """Save what a browser shows of a page, at most ``clip`` (width, height) in CSS pixels."""
    page = browser.new_page(viewport={"width": clip[0], "height": clip[1]}, device_scale_factor=2)
    page.goto(html.as_uri())
    box = page.locator("body").bounding_box() or {"x": 0, "y": 0, "width": clip[0], "height": clip[1]}
    size = {"width": min(clip[0], box["width"] + 32), "height": min(clip[1], box["height"] + 32)}
    page.screenshot(path=PICTURES / name, clip={"x": 0, "y": 0, **size})
    page.close()


def shown(folder: Path, name: str, thing: Any) -> Path:
    """What a notebook shows of a thing, as a page."""
    path = folder / f"{name}.html"
    path.write_text(PAGE + thing._repr_html_())
    return path


def umap(cells: AnnData) -> None:
    """The clusters in two dimensions, drawn by scanpy."""
    import anndata
    import scanpy

    mpl.use("Agg")
    read = anndata.read_zarr(cells.fetch())
    figure = scanpy.pl.umap(read, color="leiden", legend_loc="on data", title="", show=False, return_fig=True)
    figure.set_size_inches(5, 4.2)
    figure.savefig(PICTURES / "umap.png", dpi=160, bbox_inches="tight", metadata={"Software": None})


def main(chromium: str | None) -> None:
    """Make all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        with sg.Store(f"{scratch}/store"), simulate() as cells:
            raw: Any = sg.add(cells.path, AnnData(sample_id="simulated", organism=""), progress=False)
            done = cluster_cells(raw)
            page = report(done)
            shoot(browser, shown(Path(scratch), "plan", sg.plan(page)), "plan.png", (1100, 700))
            clustered, made = sg.run(done, page, progress=False).result()
            shoot(browser, shown(Path(scratch), "trace", sg.trace(clustered)), "trace.png", (1100, 900))
            shoot(browser, Path(made.fetch()), "report.png", (1100, 1000))
            umap(clustered)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
