"""The page of the catalog is that of the catalog."""

from __future__ import annotations

from pathlib import Path

from stargazer.catalog.page import page


def test_the_page_is_up_to_date() -> None:
    written = Path(__file__).parents[2].joinpath("docs/catalog.md").read_text("utf-8")
    assert written == page(), "python -m stargazer.catalog.page > docs/catalog.md"
