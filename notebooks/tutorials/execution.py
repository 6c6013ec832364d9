# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook]"]
#
# [tool.stargazer]
# cells = true
# title = "Execution"
# description = "The same workflow here, on workers and on a cluster: one line differs, no CID does."
# order = 4
# cpus = 2
# memory = "2 GiB"
# ///
import marimo

app = marimo.App(width="medium")

with app.setup:
    import marimo as mo
    from workflows import SAMPLES, compositions

    import stargazer as sg


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Execution

    `compositions` is the workflow of the tutorial before this one, imported from its notebook. Its calls have the same
    keys here: what ran there is known.
    """)
    return


@app.cell
def _():
    here = compositions(SAMPLES).compute()
    here
    return (here,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Elsewhere

    A *profile* says where calls run: `local` are worker processes on this machine; `slurm` and others stand in
    `stargazer.yaml`, and `stargazer config` lists them. Only handles travel; the bytes stay in the store.
    """)
    return


@app.cell
def _():
    profile = mo.ui.text(value="local", label="profile")
    workers = mo.ui.number(1, 8, value=1, label="workers")
    mo.hstack([profile, workers], justify="start")
    return profile, workers


@app.cell
def _(profile, workers):
    call = compositions(SAMPLES, bases=900)
    with sg.connect(profile.value, workers=workers.value) as client:
        there = sg.run(call, client=client, progress=False).result()
    there
    return call, there


@app.cell(hide_code=True)
def _():
    mo.md("""
    The same on threads of this process. It is known by now, so it does not run; with
    `again=True` it does, and comes to the same bytes.
    """)
    return


@app.cell
def _(call, there):
    known = sg.run(call, progress=False).result()
    assert known.cid == there.cid
    mo.md(f"`{there.cid}` on workers, `{known.cid}` here.")
    return


@app.cell
def _(here, there):
    assert here.cid != there.cid  # 600 bases, and 900
    sg.trace(there)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    All of this without an editor: `stargazer nb run execution.py --on local`, from a script, a job or a crontab.
    """)
    return


if __name__ == "__main__":
    app.run()
