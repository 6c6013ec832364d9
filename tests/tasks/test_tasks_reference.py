from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stargazer.assets import AlignerIndex, Reference, ReferenceIndex, SequenceDict
from stargazer.bio.simulate.genome import read_fasta
from stargazer.errors import DataError
from stargazer.tasks.general import bwa_index, create_sequence_dictionary, samtools_faidx
from stargazer.tasks.sam import sam_contigs


def test_index_names_the_contigs(sample, new_work, engine) -> None:
    index = samtools_faidx.body(new_work(), Reference(path=sample.reference.path, build="sim"), engine=engine)
    genome = read_fasta(sample.reference.path)
    assert isinstance(index, ReferenceIndex)
    assert index.path.name == "reference.fa.fai"
    reference = replace(sample.reference, companions=(index,))
    assert dict(reference.contigs) == {name: len(sequence) for name, sequence in genome.items()}
    assert ("pysam" in index.tool) == (engine == "embedded")


def test_a_sequence_twice_is_told_at_once(tmp_path: Path, new_work, engine) -> None:
    (tmp_path / "twice.fa").write_text(">c1\nACGT\n>c2\nAC\n>c1\nGG\n")
    with pytest.raises(DataError, match=r"twice\.fa has more than one sequence named c1"):
        samtools_faidx.body(new_work(), Reference(path=tmp_path / "twice.fa"), engine=engine)


def test_dictionary_has_lengths_and_checksums_and_no_path(sample, new_work, engine) -> None:
    made = create_sequence_dictionary.body(new_work(), sample.reference, engine=engine)
    text = made.path.read_text()
    assert isinstance(made, SequenceDict)
    assert made.path.name == "reference.dict"
    for name, sequence in read_fasta(sample.reference.path).items():
        assert sam_contigs(text)[name] == len(sequence)
        assert f"M5:{hashlib.md5(sequence.encode()).hexdigest()}" in text
    assert str(sample.reference.path.parent) not in text


def test_both_engines_index_alike(sample, new_work, tool: Callable[[str], str]) -> None:
    tool("bwa")
    made = [bwa_index.body(new_work(), sample.reference, engine=engine) for engine in ("embedded", "native")]
    assert made[0].path.name == "reference.fa.bwa"
    assert all(isinstance(index, AlignerIndex) and index.aligner == "bwa" for index in made)
    embedded, native = ({file.name: file.read_bytes() for file in index.path.iterdir()} for index in made)
    assert sorted(embedded) == ["index.amb", "index.ann", "index.bwt", "index.pac", "index.sa"]
    assert embedded == native


@pytest.mark.parametrize("task", [samtools_faidx, bwa_index])
def test_a_missing_file_fails(tmp_path: Path, new_work, task, engine) -> None:
    from stargazer.errors import ToolFailed

    with pytest.raises(ToolFailed, match=r"nothing\.fa"):
        task.body(new_work(), Reference(path=tmp_path / "nothing.fa"), engine=engine)
