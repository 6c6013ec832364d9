# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook,scrna]"]
#
# [tool.stargazer]
# cells = true
# title = "Single cell"
# description = "From raw counts to clusters, their markers, and a report."
# order = 2
# cpus = 4
# memory = "8 GiB"
# ///
import marimo

app = marimo.App(width="medium")

with app.setup:
    import tempfile
    from pathlib import Path

    import marimo as mo

    import stargazer as sg
    from stargazer.remotes import configured
    from stargazer.remotes.bundles import find_bundle
    from stargazer.tasks import report
    from stargazer.workflows import scrna_clustering_pipeline

    @sg.task(memory="2 GiB")
    def simulated_cells(work: sg.Workdir, *, cells: int, genes: int, types: int) -> sg.AnnData:
        """Simulate counts of cells of known types.

        Parameters
        ----------
        cells, genes, types
            How many.
        """
        from stargazer.bio.simulate.cells import Population, simulate_cells

        population = Population(n_genes=genes, n_types=types, n_markers=20, depth=2_000.0)
        path = simulate_cells(work.file("simulated.zarr"), cells, population)
        return sg.AnnData(path=path, sample_id="simulated", organism="human")


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Single cell

    From raw counts to clusters and their marker genes: quality, doublets, normalisation, neighbours, Leiden, markers.
    Choose the data, look at the plan, run.
    """)
    return


@app.cell
def _():
    data = mo.ui.dropdown(["simulated", "bundle", "file", "upload"], value="simulated", label="data")
    data
    return (data,)


@app.cell(hide_code=True)
def _():
    cells = mo.ui.number(100, 100_000, step=100, value=400, label="cells")
    genes = mo.ui.number(300, 30_000, step=100, value=600, label="genes")
    types = mo.ui.number(2, 20, value=3, label="types")
    return cells, genes, types


@app.cell(hide_code=True)
def _():
    bundle = mo.ui.text(value="scrna_demo", label="bundle", full_width=True)
    path = mo.ui.text(placeholder="/data/counts.h5ad", label="file or folder", full_width=True)
    sent = mo.ui.file(filetypes=[".h5ad", ".h5"], label="counts", max_size=4_000_000_000)
    return bundle, path, sent


@app.cell(hide_code=True)
def _(bundle, cells, data, genes, path, sent, types):
    shown = {"simulated": [cells, genes, types], "bundle": [bundle], "file": [path], "upload": [sent]}
    mo.vstack(shown[data.value])
    return


@app.cell
def _():
    resolution = mo.ui.slider(0.1, 2.0, step=0.1, value=0.5, label="resolution", show_value=True)
    n_top_genes = mo.ui.number(100, 10_000, step=100, value=300, label="variable genes")
    n_pcs = mo.ui.number(2, 100, value=20, label="principal components")
    max_pct_mt = mo.ui.slider(1, 100, value=20, label="highest mitochondrial percentage", show_value=True)
    doublets = mo.ui.checkbox(value=True, label="seek doublets and drop them")
    profile = mo.ui.text(value="", placeholder="threads of this process", label="profile")
    mo.vstack([resolution, n_top_genes, n_pcs, max_pct_mt, doublets, profile])
    return doublets, max_pct_mt, n_pcs, n_top_genes, profile, resolution


@app.function
def added(path, name):
    """Counts of a file, as an asset."""
    return sg.add(path, sg.AnnData(sample_id=name.partition(".")[0]))


@app.cell
def _(bundle, cells, data, genes, path, sent, types):
    if data.value == "simulated":
        wired = simulated_cells(cells=int(cells.value), genes=int(genes.value), types=int(types.value))
        raw = [wired.compute()]
    elif data.value == "bundle":
        raw = find_bundle(bundle.value).fetch(sg.active_store(), configured())
    elif data.value == "file":
        mo.stop(not path.value, mo.md("Name a file."))
        raw = [added(path.value, Path(path.value).name)]
    else:
        mo.stop(not sent.value, mo.md("Choose a file."))
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, Path(sent.value[0].name).name)
            place.write_bytes(sent.value[0].contents)
            raw = [added(place, place.name)]
    raw
    return (raw,)


@app.cell
def _(doublets, max_pct_mt, n_pcs, n_top_genes, raw, resolution):
    call = scrna_clustering_pipeline(
        raw[0] if len(raw) == 1 else [each.sample_id for each in raw],
        n_top_genes=int(n_top_genes.value),
        resolution=float(resolution.value),
        max_pct_mt=float(max_pct_mt.value),
        doublets=bool(doublets.value),
        n_pcs=int(n_pcs.value),
    )
    page = report(call)
    sg.plan([call, page])
    return call, page


@app.cell
def _():
    start = mo.ui.run_button(label="Run")
    start if mo.app_meta().mode in ("edit", "run") else None
    return (start,)


@app.cell
def _(call, page, profile, start):
    mo.stop(mo.app_meta().mode in ("edit", "run") and not start.value, mo.md("The plan is above; *Run* runs it."))
    if profile.value:
        with sg.connect(profile.value) as client:
            clustered, drawn = sg.run([call, page], client=client).result()
    else:
        clustered, drawn = sg.run([call, page]).result()
    clustered
    return clustered, drawn


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Result
    """)
    return


@app.cell
def _(clustered):
    sizes = clustered.open().obs["leiden"].value_counts().sort_index()
    print(len(sizes), "clusters:", ", ".join(map(str, sizes)))
    mo.ui.table(clustered.markers(top=5), page_size=10)
    return


@app.cell
def _(drawn):
    mo.iframe(drawn.fetch().read_text("utf-8"), height="600px")
    return


@app.cell
def _(clustered):
    sg.trace(clustered)
    return


if __name__ == "__main__":
    app.run()
