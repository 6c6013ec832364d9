"""What every format of notebooks does: a contract that whoever writes one can let it keep.

::

    from stargazer.testing.notebooks import NotebookFormatContract


    class TestMine(NotebookFormatContract):
        @pytest.fixture
        def form(self):
            return MyFormat()
"""

from __future__ import annotations

from pathlib import Path

import pytest

from stargazer.errors import NotebookError
from stargazer.notebook.flow import Book, Config, Draft, Entry, Flow, NotebookFormat

__all__ = ["NotebookFormatContract"]

NOTHING = "no notebook at all\n"


class NotebookFormatContract:
    """Tests that any format must pass; a subclass has a fixture ``form``."""

    timeout = 300.0
    """Seconds in which a new notebook must have run."""

    @pytest.fixture
    def draft(self) -> Draft:
        """Say what the notebook is that is written."""
        return Draft("sketch", "explore", "explore", "draft", "To try it")

    @pytest.fixture
    def book(self, tmp_path: Path, form: NotebookFormat, draft: Draft) -> Book:
        """Write a new notebook of the format into a flow."""
        folder = "notebooks/explore/.src" if form.paired else "notebooks/explore"
        entry = Entry(f"{folder}/sketch{form.suffix}", "explore", pair_ipynb=form.paired, publish_html=True)
        made = Book(Flow(tmp_path, "flow", Config(entries=(entry,))), entry)
        made.source.parent.mkdir(parents=True)
        made.source.write_text(form.template(draft), "utf-8")
        return made

    def test_it_is_a_format(self, form: NotebookFormat) -> None:
        assert isinstance(form, NotebookFormat)
        assert form.name.isidentifier()
        assert form.suffix.startswith(".")

    def test_it_knows_its_own_files_and_no_others(self, form: NotebookFormat, book: Book) -> None:
        assert form.detect(book.source.read_text("utf-8"), book.source)
        assert not form.detect(NOTHING, book.source.with_suffix(".txt"))
        assert not form.detect(NOTHING, book.source)

    def test_a_new_notebook_has_cells_with_lines_and_nothing_is_wrong(self, form: NotebookFormat, book: Book) -> None:
        text = book.source.read_text("utf-8")
        code = [cell for cell in form.cells(text, book.source) if cell.kind == "code"]
        assert code
        lines = text.splitlines()
        for cell in code:
            assert cell.source.splitlines()[0].strip() in lines[cell.line - 1]
        assert [finding for finding in form.check(text, book.source) if finding.level == "error"] == []

    def test_a_template_is_the_same_each_time(self, form: NotebookFormat, draft: Draft) -> None:
        assert form.template(draft) == form.template(draft)

    def test_names_that_nobody_binds_are_found(self, form: NotebookFormat, book: Book) -> None:
        text = book.source.read_text("utf-8").replace("sg.assemble", "nobody_binds_this.assemble")
        found = [finding for finding in form.check(text, book.source) if finding.level == "error"]
        assert any("nobody_binds_this" in finding.message for finding in found)

    def test_it_is_in_step_after_a_sync_and_stays_so(self, form: NotebookFormat, book: Book) -> None:
        before = book.source.read_bytes()
        assert form.sync(book, dry=True).success
        assert not book.ipynb.exists()
        assert form.sync(book).success
        assert book.ipynb.exists() == form.paired
        again = form.sync(book)
        assert again.success
        assert again.wrote == ()
        assert book.source.read_bytes() == before

    def test_a_source_that_is_gone_is_told(self, form: NotebookFormat, book: Book) -> None:
        book.source.unlink()
        assert form.sync(book).problem
        with pytest.raises(NotebookError):
            form.execute(book, self.timeout, {})

    def test_a_new_notebook_runs_and_has_a_page(self, form: NotebookFormat, book: Book) -> None:
        before = book.source.read_bytes()
        done = form.execute(book, self.timeout, {})
        assert done.success, done
        assert done.values
        assert "sketch" in form.export(book, "html")
        assert form.export(book, "html") == form.export(book, "html")
        assert book.source.read_bytes() == before
