# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook]"]
#
# [tool.stargazer]
# cells = true
# title = "Tasks"
# description = "Functions from assets to assets: nothing is computed twice, and every result can be traced."
# order = 2
# cpus = 1
# memory = "1 GiB"
# ///
import marimo

app = marimo.App(width="medium")

with app.setup:
    import tempfile
    from pathlib import Path

    import marimo as mo

    import stargazer as sg


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Tasks

    A **task** is a function under `@sg.task`: positional parameters are assets, keyword-only ones plain values. It sees
    its inputs and a directory to work in, and returns what it made.
    """)
    return


@app.function
def complement(bases: str) -> str:
    """Reverse complement of a sequence."""
    return bases[::-1].translate(str.maketrans("ACGT", "TGCA"))


@app.cell
def _():
    @sg.task
    def reverse(work: sg.Workdir, sequence: sg.Asset, *, wrap: int = 60) -> sg.Asset:
        """Write the reverse complement of a sequence.

        Parameters
        ----------
        sequence
            FASTA with one record.
        wrap
            Bases a line.
        """
        name, *lines = sequence.path.read_text().split()
        bases = complement("".join(lines))
        out = work.file("reverse.fa")
        rows = [bases[at : at + wrap] for at in range(0, len(bases), wrap)]
        out.write_text("\n".join([name, *rows]) + "\n")
        return sg.Asset(path=out)

    return (reverse,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    Calling a task runs nothing. It gives a *call*, a Dask `Delayed` that knows its own name: the task's code, with the
    helper it reaches, its parameters, and its inputs.
    """)
    return


@app.cell
def _():
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder, "tiny.fa")
        fasta.write_text(">tiny\n" + "ACGTTGCAAC" * 12 + "\n")
        sequence = sg.add(fasta)
    return (sequence,)


@app.cell
def _():
    width = mo.ui.slider(20, 60, step=20, value=60, label="bases a line")
    width
    return (width,)


@app.cell
def _(reverse, sequence, width):
    call = reverse(sequence, wrap=width.value)
    sg.plan(call)
    return (call,)


@app.cell
def _(call):
    made = call.compute()
    made
    return (made,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    Move the slider, and the call is another one. Move it back, and the answer comes from the *ledger*: nothing runs.
    Edit a comment in `complement`, and nothing runs either; edit what it does, and the task runs once.

    ## Where does it come from?
    """)
    return


@app.cell
def _(made):
    sg.trace(made)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    A test needs neither Dask nor a store: `reverse.body(sg.Workdir(folder), draft)` is the plain function. And when the
    task is good, `stargazer nb promote tasks.py reverse --to mylab/tasks.py --tests` moves it into a module. Next:
    **Workflows**.
    """)
    return


@app.cell
def _(reverse):
    with tempfile.TemporaryDirectory() as there:
        draft = Path(there, "draft.fa")
        draft.write_text(">x\nAACG\n")
        work = Path(there, "work")
        work.mkdir()
        tested = reverse.body(sg.Workdir(work), sg.Asset(path=draft)).path.read_text()
    assert tested == ">x\nCGTT\n"
    tested
    return


if __name__ == "__main__":
    app.run()
