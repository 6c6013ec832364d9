# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook]"]
#
# [tool.stargazer]
# cells = true
# title = "Assets"
# description = "Files that know what they are: one name everywhere, typed facts, queries."
# order = 1
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
    # Assets

    A file in Stargazer is an **asset**: its *bytes*, named by their CID, and *facts* about them, which have types.
    The CID is the name that IPFS gives the same bytes, and is computed here, without a network.
    """)
    return


@app.cell
def _():
    sequence = ">tiny\n" + "ACGTTGCA" * 20 + "\n"
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder, "tiny.fa")
        fasta.write_text(sequence)
        reference = sg.add(fasta, sg.Reference(build="tiny"))
    reference
    return reference, sequence


@app.cell(hide_code=True)
def _():
    mo.md("""
    The file was copied into the *store*, and the folder it came from is gone. `fetch()` gives a real path again, under
    its real name, for any tool that wants one.
    """)
    return


@app.cell
def _(reference, sequence):
    assert reference.fetch().read_text() == sequence
    mo.md(f"`{reference.fetch().name}` has {reference.size} bytes, and is `{reference.cid}` wherever it lies.")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Facts, and types of your own

    `Reference`, `R1`, `Alignment`, `Variants`, `AnnData` and others come along. A type of your own is a class: its
    annotations are the facts, each with a default, and a misspelled one is an error at once.
    """)
    return


@app.class_definition
class Phenotype(sg.Asset):
    """What was measured of a sample."""

    sample_id: str = ""
    batch: int = 1


@app.cell
def _():
    measured = []
    with tempfile.TemporaryDirectory() as place:
        for sample in ("anna", "ben"):
            table = Path(place, f"{sample}.csv")
            table.write_text(f"sample,height\n{sample},{170 + len(sample)}\n")
            measured.append(sg.add(table, Phenotype(sample_id=sample)))
    measured
    return (measured,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Asking for them

    `assemble` finds assets by their facts. What is asked for by its name and is not there is an error that names it.
    """)
    return


@app.cell
def _(measured):
    found = sg.assemble(asset="phenotype", sample_id=[each.sample_id for each in measured])
    assert {each.cid for each in found} == {each.cid for each in measured}
    [(each.sample_id, each.batch, each.cid) for each in found]
    return


@app.cell
def _(measured):
    try:
        sg.assemble(asset="phenotype", sample_id=[measured[0].sample_id, "nobody"])
        said = "found"
    except sg.errors.NotFound as error:
        said = str(error)
    said
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    Same bytes, same CID: the first line of this notebook makes the same asset on your laptop, on a cluster and on the
    machine of a reviewer. Next: **Tasks**, which make assets of assets.
    """)
    return


if __name__ == "__main__":
    app.run()
