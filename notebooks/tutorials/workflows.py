# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook]"]
#
# [tool.stargazer]
# cells = true
# title = "Workflows"
# description = "Plain functions that wire tasks: lists, early cut-off, plans with reasons."
# order = 3
# cpus = 1
# memory = "1 GiB"
# ///
import marimo

app = marimo.App(width="medium")

with app.setup:
    import marimo as mo

    import stargazer as sg

    SAMPLES = ("anna", "ben", "carla")

    @sg.task
    def draw(work: sg.Workdir, *, sample: str, bases: int = 600) -> sg.Asset:
        """Draw a sequence for a sample; the same each time.

        Parameters
        ----------
        sample
            Its name.
        bases
            How long.
        """
        state = sum(map(ord, sample))
        letters = []
        for _ in range(bases):
            state = (1_103_515_245 * state + 12_345) % (1 << 31)
            letters.append("ACGT"[state >> 16 & 3])
        out = work.file(f"{sample}.fa")
        out.write_text(f">{sample}\n{''.join(letters)}\n")
        return sg.Asset(path=out)

    @sg.task
    def composition(work: sg.Workdir, sequence: sg.Asset) -> sg.Asset:
        """Count the bases of a sequence.

        Parameters
        ----------
        sequence
            FASTA with one record.
        """
        name, bases = sequence.path.read_text().split()
        out = work.file("composition.csv")
        out.write_text("".join(f"{name[1:]},{base},{bases.count(base)}\n" for base in "ACGT"))
        return sg.Asset(path=out)

    @sg.task
    def table(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
        """Join tables.

        Parameters
        ----------
        parts
            Tables with the same columns.
        """
        out = work.file("table.csv")
        out.write_text("sample,base,count\n" + "".join(part.path.read_text() for part in parts))
        return sg.Asset(path=out)


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Workflows

    A **workflow** is a plain function that wires calls, and returns one or several. Nothing runs while it is wired.
    """)
    return


@app.function
def compositions(samples, bases=600):
    """Wire the composition of some samples' sequences, joined in one table."""
    return table([composition(draw(sample=sample, bases=bases)) for sample in samples])


@app.cell
def _():
    chosen = mo.ui.multiselect(list(SAMPLES), value=list(SAMPLES), label="samples")
    chosen
    return (chosen,)


@app.cell
def _(chosen):
    call = compositions(chosen.value)
    sg.plan(call)
    return (call,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    The plan says what would run, and why. `sg.run` runs it: what does not depend on each other at the same
    time, here on threads. One sample less, and only the joining runs; what is known of the others stays known.
    """)
    return


@app.cell
def _(call):
    joined = call.compute()
    print(joined.fetch().read_text())
    return (joined,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What was made of what
    """)
    return


@app.cell
def _(joined):
    sg.trace(joined)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    A change that comes to the same bytes stops where it is: that is *early cut-off*. Next: **Execution**, which imports
    `compositions` from this notebook, and runs it elsewhere.
    """)
    return


if __name__ == "__main__":
    app.run()
