# /// script
# requires-python = ">=3.11"
# dependencies = ["stargazer-dask[notebook]"]
#
# [tool.stargazer]
# cells = true
# title = "Germline variants"
# description = "From the raw reads of a cohort to one VCF with the genotypes of all samples."
# order = 1
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
    from stargazer.workflows import Lane, call_cohort, call_sheet, index_reference

    @sg.task
    def simulated_cohort(work: sg.Workdir, *, samples: list[str], length: int, depth: float) -> dict[str, sg.Asset]:
        """Simulate the reads of a cohort, and the genome that they are of.

        Parameters
        ----------
        samples
            Names of the individuals.
        length
            Bases of the genome.
        depth
            Mean coverage of each.
        """
        from stargazer.bio.simulate import simulate_cohort

        cohort = simulate_cohort(work.directory("cohort"), samples=samples, length=length, depth=depth)
        made = {"reference": sg.Reference(path=cohort.reference, build="sim")}
        for sample, lanes in cohort.reads.items():
            for r1, r2 in lanes:
                made[f"{sample}/1"] = sg.R1(path=r1, sample_id=sample)
                made[f"{sample}/2"] = sg.R2(path=r2, sample_id=sample)
        return made


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Germline short variants

    From raw reads to one VCF with the genotypes of all samples: alignment (bwa), duplicates (samtools), likelihoods and
    genotypes (bcftools). Choose the data, look at the plan, run.
    """)
    return


@app.cell
def _():
    data = mo.ui.dropdown(["simulated", "bundle", "sample sheet", "upload"], value="simulated", label="data")
    data
    return (data,)


@app.cell(hide_code=True)
def _():
    names = mo.ui.text(value="anna, ben", label="samples")
    length = mo.ui.number(3_000, 1_000_000, step=1_000, value=9_000, label="bases of the genome")
    depth = mo.ui.number(1, 60, value=8, label="coverage")
    return depth, length, names


@app.cell(hide_code=True)
def _():
    bundle = mo.ui.text(value="variant_calling_demo", label="bundle", full_width=True)
    sheet = mo.ui.text(placeholder="/data/samples.csv", label="sample sheet", full_width=True)
    build = mo.ui.text(value="GRCh38", label="build of a reference that the store has")
    return build, bundle, sheet


@app.cell(hide_code=True)
def _():
    fasta = mo.ui.file(filetypes=[".fa", ".fasta", ".fna", ".gz"], label="reference", max_size=4_000_000_000)
    fastqs = mo.ui.file(
        filetypes=[".gz", ".fastq", ".fq"], multiple=True, label="reads: NAME_R1…, NAME_R2…", max_size=4_000_000_000
    )
    return fasta, fastqs


@app.cell(hide_code=True)
def _(build, bundle, data, depth, fasta, fastqs, length, names, sheet):
    shown = {
        "simulated": [names, length, depth],
        "bundle": [bundle],
        "sample sheet": [sheet, build],
        "upload": [fasta, fastqs],
    }
    mo.vstack(shown[data.value])
    return


@app.cell
def _():
    cohort = mo.ui.text(value="cohort", label="name of the cohort")
    profile = mo.ui.text(value="", placeholder="threads of this process", label="profile")
    mo.hstack([cohort, profile], justify="start")
    return cohort, profile


@app.function
def reads_of(assets):
    """Lanes of reads by sample, of assets."""
    found = {}
    for each in assets:
        if isinstance(each, sg.R1):
            mate = [r2 for r2 in assets if isinstance(r2, sg.R2) and are_mates(each, r2)]
            found.setdefault(each.sample_id, []).append(Lane(each, mate[0] if mate else None))
    return found


@app.function
def are_mates(r1, r2):
    if r1.mate_cid:
        return r1.mate_cid == r2.cid
    return r1.sample_id == r2.sample_id and r1.name.replace("_R1", "_R2") == r2.name


@app.function
def uploaded(files, kind=None):
    """Files that a browser sent, as assets; the sample is what stands before ``_R1`` or ``_R2``."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            path = Path(folder, Path(file.name).name)
            path.write_bytes(file.contents)
            mate = "_R2" if "_R2" in path.name else "_R1"
            sample = path.name.partition(mate)[0].partition(".")[0]
            draft = kind or (sg.R2 if mate == "_R2" else sg.R1)(sample_id=sample)
            found.append(sg.add(path, draft))
    return found


@app.cell
def _(build, bundle, cohort, data, depth, fasta, fastqs, length, names, sheet):
    if data.value == "sample sheet":
        mo.stop(not sheet.value, mo.md("Name a sample sheet."))
        call = call_sheet(sheet.value, build.value, cohort.value)
    else:
        if data.value == "simulated":
            samples = [name.strip() for name in names.value.split(",") if name.strip()]
            wired = simulated_cohort(samples=samples, length=int(length.value), depth=float(depth.value))
            assets = list(wired.compute().values())
        elif data.value == "bundle":
            assets = find_bundle(bundle.value).fetch(sg.active_store(), configured())
        else:
            mo.stop(not (fasta.value and fastqs.value), mo.md("Choose a reference and reads."))
            assets = [*uploaded(fasta.value, sg.Reference(build="uploaded")), *uploaded(fastqs.value)]
        references = [each for each in assets if isinstance(each, sg.Reference)]
        call = call_cohort(index_reference(references[0]), reads_of(assets), cohort.value)
    sg.plan(call)
    return (call,)


@app.cell
def _():
    start = mo.ui.run_button(label="Run")
    start if mo.app_meta().mode in ("edit", "run") else None
    return (start,)


@app.cell
def _(call, profile, start):
    mo.stop(mo.app_meta().mode in ("edit", "run") and not start.value, mo.md("The plan is above; *Run* runs it."))
    if profile.value:
        with sg.connect(profile.value) as client:
            vcf = sg.run(call, client=client).result()
    else:
        vcf = sg.run(call).result()
    vcf
    return (vcf,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Result
    """)
    return


@app.cell
def _(vcf):
    import pysam

    rows = []
    with pysam.VariantFile(str(vcf.fetch())) as file:
        for record in file:
            genotypes = {name: "/".join(map(str, call["GT"])) for name, call in record.samples.items()}
            where = {"contig": record.contig, "position": record.pos, "ref": record.ref}
            what = {"alt": ",".join(record.alts or ()), "quality": round(record.qual or 0.0, 1)}
            rows.append(where | what | genotypes)
    mo.vstack([mo.md(f"{len(rows)} variants in {vcf.name}"), mo.ui.table(rows, page_size=10, selection=None)])
    return (rows,)


@app.cell
def _(vcf):
    mo.download(lambda: vcf.fetch().read_bytes(), filename=vcf.name, label="VCF")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Where it comes from
    """)
    return


@app.cell
def _(vcf):
    sg.trace(vcf)
    return


if __name__ == "__main__":
    app.run()
