# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook]"]
#
# [tool.stargazer]
# cells = true
# title = "Template"
# description = "Parameters in widgets, a task, a plan, a run, a result, its trace."
# order = 2
# cpus = 1
# memory = "1 GiB"
# ///
import marimo

app = marimo.App(width="medium")

with app.setup:
    import marimo as mo

    import stargazer as sg


@app.cell(hide_code=True)
def _():
    mo.md("""
    # What this notebook is for

    A sentence or two: the question, the data, and what comes out.
    """)
    return


@app.cell
def _():
    lines = mo.ui.slider(1, 10, value=3, label="lines", show_value=True)
    lines
    return (lines,)


@app.cell
def _():
    @sg.task
    def write(work: sg.Workdir, *, lines: int) -> sg.Asset:
        """Write some lines; put what you want to compute in its place.

        Parameters
        ----------
        lines
            How many.
        """
        out = work.file("lines.txt")
        out.write_text("".join(f"line {number}\n" for number in range(lines)))
        return sg.Asset(path=out)

    return (write,)


@app.cell
def _(lines, write):
    call = write(lines=lines.value)
    sg.plan(call)
    return (call,)


@app.cell
def _(call):
    result = call.compute()
    print(result.fetch().read_text())
    return (result,)


@app.cell
def _(result):
    sg.trace(result)
    return


if __name__ == "__main__":
    app.run()
