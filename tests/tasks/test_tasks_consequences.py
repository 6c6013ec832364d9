"""What is known of an allele is told of that allele: ids, INFO and consequences where several share a line."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import DataError, DataWarning
from stargazer.tasks.general import (
    annotate_variants,
    attach_indices,
    index_variants,
    list_consequences,
    predict_consequences,
    samtools_faidx,
)

CODING = "ATG" + "".join(random.Random(3).choices(["GCT", "TGT", "AAA", "CTG"], k=20)) + "GAA" + "CTG" * 10 + "TAA"
SEQUENCE = "ACGTTGCA" * 12 + "TTTC" + CODING + "GTCATTGA" * 12
FIRST, LAST = 101, 100 + len(CODING)
GLU = 100 + CODING.index("GAAC") + 3
"""The third base of the codon GAA: with G it stays glutamate, with T it becomes aspartate."""
AF = '##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">\n'
CLNSIG = '##INFO=<ID=CLNSIG,Number=.,Type=String,Description="Significance">\n'
GT = '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
GFF = f"""##gff-version 3
chr1\te\tgene\t{FIRST}\t{LAST}\t.\t+\t.\tID=gene:G1;biotype=protein_coding;Name=GENA
chr1\te\tmRNA\t{FIRST}\t{LAST}\t.\t+\t.\tID=transcript:T1;Parent=gene:G1;biotype=protein_coding
chr1\te\texon\t{FIRST}\t{LAST}\t.\t+\t.\tID=exon:E1;Parent=transcript:T1
chr1\te\tCDS\t{FIRST}\t{LAST}\t.\t+\t0\tID=CDS:P1;Parent=transcript:T1
"""


def write(path: Path, *records: str, samples: str = "") -> Path:
    columns = f"#CHROM POS ID REF ALT QUAL FILTER INFO{f' FORMAT {samples}' if samples else ''}".replace(" ", "\t")
    header = f"##fileformat=VCFv4.2\n##contig=<ID=chr1,length={len(SEQUENCE)}>\n"
    header += "".join(line for line in (AF, CLNSIG, GT) if any(line.partition("ID=")[2][:2] in one for one in records))
    header += f"{columns}\n"
    path.write_text(header + "".join(record.replace(" ", "\t") + "\n" for record in records))
    return path


@pytest.fixture
def reference(store: sg.Store, tmp_path: Path) -> Any:
    (tmp_path / "r.fa").write_text(f">chr1\n{SEQUENCE}\n")
    fasta = store.add(tmp_path / "r.fa", sg.Reference(build="x"))
    return attach_indices(fasta, [samtools_faidx(fasta)])


@pytest.fixture
def calls(store: sg.Store, tmp_path: Path, reference: Any) -> Any:
    """Both alleles in one line, as a joint call writes them: `a` has the first, `b` the second, `c` both."""
    record = f"chr1 {GLU} . A G,T 50 PASS AF=0.4,0.3 GT 0/1 0/2 1/2"
    path = write(tmp_path / "v.vcf", record, samples="a b c")
    draft = sg.Variants(sample_id="trio", source_samples=("a", "b", "c"))
    return index_variants(reference, store.add(path, draft))


def known(store: sg.Store, path: Path, resource: str, *records: str) -> Any:
    return store.add(write(path, *records), sg.KnownSites(build="x", resource_name=resource))


def records(vcf: sg.Variants) -> dict[str, list[str]]:
    """Fields of each record by its alleles."""
    from stargazer.tasks.vcf import vcf_lines

    rows = [line.rstrip("\n").split("\t") for line in vcf_lines(vcf.fetch()) if not line.startswith("#")]
    return {",".join(row[4:5]): row for row in rows}


def test_an_allele_has_its_own_annotation(store: sg.Store, tmp_path: Path, reference: Any, calls: Any) -> None:
    dbsnp = known(store, tmp_path / "dbsnp.vcf", "dbsnp", f"chr1 {GLU} rs1 A G,T . . AF=0.1,0.2")
    lines = [f"chr1 {GLU} 11 A G . . CLNSIG=Benign", f"chr1 {GLU} 12 A T . . CLNSIG=Pathogenic;AF=0.001"]
    clinvar = known(store, tmp_path / "clinvar.vcf", "clinvar", *lines)
    with pytest.warns(DataWarning, match=r"INFO AF of (dbsnp|clinvar)\.vcf is called"):
        made = annotate_variants(reference, calls, [dbsnp, clinvar], info=["CLNSIG", "AF"]).compute()
    found = records(made)
    assert {alt: row[2] for alt, row in found.items()} == {"G": "rs1;11", "T": "rs1;12"}
    infos = {alt: dict(one.split("=") for one in row[7].split(";")) for alt, row in found.items()}
    assert infos["G"] == {"AF": "0.4", "dbsnp_AF": "0.1", "CLNSIG": "Benign"}
    assert infos["T"] == {"AF": "0.3", "dbsnp_AF": "0.2", "CLNSIG": "Pathogenic", "clinvar_AF": "0.001"}
    carried = {alt: [field[:3] != "0/0" for field in row[9:]] for alt, row in found.items()}
    assert carried == {"G": [True, False, True], "T": [False, True, True]}


@pytest.mark.parametrize("known_as", ["chr1 96 rs9 ATT A,AT . . AF=0.1,0.2", "chr1 98 rs9 TT T . . AF=0.2"])
def test_a_deletion_is_known_wherever_and_with_whatever_it_is_written(
    store: sg.Store, tmp_path: Path, reference: Any, known_as: str
) -> None:
    assert SEQUENCE[95:100] == "ATTTC"
    path = write(tmp_path / "v.vcf", "chr1 96 . AT A 50 PASS . GT 0/1", samples="a")
    calls = index_variants(reference, store.add(path, sg.Variants(sample_id="a", source_samples=("a",))))
    beside = write(tmp_path / "dbsnp.vcf", known_as, "chr9 5 rs5 A G . . AF=0.5")
    beside.write_text("".join(line for line in beside.open() if not line.startswith("##contig")))  # as dbSNP's has none
    dbsnp = store.add(beside, sg.KnownSites(build="x", resource_name="dbsnp"))
    made = annotate_variants(reference, calls, [dbsnp], info=["AF"]).compute()
    assert records(made)["A"][1:8] == ["96", "rs9", "AT", "A", "50", "PASS", "AF=0.2"]


def test_known_sites_whose_contigs_have_other_names_are_told(
    store: sg.Store, tmp_path: Path, reference: Any, calls: Any
) -> None:
    clinvar = known(store, tmp_path / "clinvar.vcf", "clinvar", f"1 {GLU} 11 A G . . CLNSIG=Benign")
    with pytest.warns(DataWarning, match=r"clinvar\.vcf tells nothing: it has no record on a contig .*chr1"):
        annotate_variants(reference, calls, [clinvar], info=["CLNSIG"]).compute()


def test_a_sample_has_the_consequences_of_its_own_alleles(
    store: sg.Store, tmp_path: Path, reference: Any, calls: Any
) -> None:
    (tmp_path / "g.gff3").write_text(GFF)
    genes = store.add(tmp_path / "g.gff3")
    lines = [f"chr1 {GLU} 11 A G . . CLNSIG=Benign", f"chr1 {GLU} 12 A T . . CLNSIG=Pathogenic"]
    clinvar = known(store, tmp_path / "clinvar.vcf", "clinvar", *lines)
    annotated = annotate_variants(reference, calls, [clinvar], info=["CLNSIG"])
    for vcf in (calls, annotated):
        tables = list_consequences(predict_consequences(reference, vcf, genes)).compute()
        rows = {dict(one.declared)["sample_id"]: one.fetch().read_text().splitlines()[1:] for one in tables}
        assert [len(rows[name]) for name in "abc"] == [0, 1, 1]
        assert all("missense" in row and "synonymous" not in row for name in "bc" for row in rows[name])
    assert all(row.endswith("CLNSIG=Pathogenic") for name in "bc" for row in rows[name])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: "".join(line + "\n" for line in text.splitlines() if "\tCDS\t" not in line), "no coding sequ"),
        (lambda text: text.replace("biotype=", "gene_type="), "GENCODE"),
        (lambda text: text.replace("ID=CDS:P1;Parent=transcript:T1", 'gene_id "G1"; transcript_id "T1";'), "is GTF"),
        (lambda text: text.replace("chr1\t", "1\t"), "it calls this contig chr1"),
        (lambda text: "chr1\t100\t186\n", "line 1 has 3 columns"),
        (lambda text: "##gff-version 3\n", "none of the reference's contigs"),
    ],
    ids=["no CDS", "GENCODE", "GTF", "names", "BED", "empty"],
)
def test_genes_from_which_nothing_follows_are_refused(
    store: sg.Store, tmp_path: Path, reference: Any, calls: Any, change: Callable[[str], str], told: str
) -> None:
    (tmp_path / "g.gff3").write_text(change(GFF))
    genes = store.add(tmp_path / "g.gff3")
    with pytest.raises(DataError, match=told):
        predict_consequences(reference, calls, genes).compute()


def test_variants_without_any_consequence_are_told(store: sg.Store, tmp_path: Path, reference: Any, calls: Any) -> None:
    (tmp_path / "g.gff3").write_text(GFF.replace(f"{FIRST}\t{LAST}", f"{FIRST}\t{FIRST + 8}"))
    with pytest.warns(DataWarning, match="no variant has a consequence"):
        predict_consequences(reference, calls, store.add(tmp_path / "g.gff3")).compute()
