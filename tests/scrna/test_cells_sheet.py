"""Sheets of single-cell samples are checked as a whole, before anything runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from odd_cells import cells, saved

import stargazer as sg
from stargazer.bounded import read_within
from stargazer.errors import DataError, DataWarning, NotFound
from stargazer.workflows import read_cells_sheet, scrna


def sheet(here: Path, text: str, *files: str) -> Path:
    for name in files or ("a.h5ad", "b.h5ad"):
        (here / name).write_bytes(b"x")
    (here / "samples.csv").write_text(text)
    return here / "samples.csv"


def test_what_is_said_of_a_sample_goes_where_it_belongs(tmp_path: Path) -> None:
    text = (
        "sample,path,condition,donor,batch,organism,expected_cells,age,layer,round\n"
        "s1,a.h5ad,ctrl,d1,b1,Homo sapiens,3000,young,,\n\n"
        "s2,b.h5ad,stim,d2,,,,old,raw_counts,yes\n"
    )
    first, second = read_cells_sheet(sheet(tmp_path, text)).rows
    assert (first.sample, first.path, first.organism, first.expected_cells) == (
        "s1",
        tmp_path / "a.h5ad",
        "Homo sapiens",
        3000,
    )
    assert first.columns == {"condition": "ctrl", "donor": "d1", "batch": "b1", "age": "young"}
    assert (first.reading, second.reading) == ({}, {"layer": "raw_counts", "round": "true"})
    assert (second.line, second.expected_cells, second.columns) == (
        4,
        0,
        {"condition": "stim", "donor": "d2", "age": "old"},
    )
    assert read_cells_sheet(tmp_path / "samples.csv").values("condition") == ["ctrl", "stim"]


@pytest.mark.parametrize(
    "text",
    [
        "sample\tpath\ns1\ta.h5ad\n",
        "\ufeffsample,path\r\ns1,a.h5ad\r\n",
        "SAMPLE_ID,File\ns1,a.h5ad\n",
        "sample,filtered,unfiltered,ambient_correction,batch_col\ns1,a.h5ad,b.h5ad,none,batch\n",
        "sample,unfiltered,expected_cells\ns1,a.h5ad,5000\n",
        "sample;path;condition;;\ns1;a.h5ad;ctrl;;\n",
        "# of March\nsample,path,,\ns1,a.h5ad,,\n,,,\n",
        'sample, path\n"s1", "a.h5ad"\n',
    ],
)
def test_sheets_of_others_are_understood(tmp_path: Path, text: str) -> None:
    (row,) = read_cells_sheet(sheet(tmp_path, text)).rows
    assert (row.sample, row.path.name) == ("s1", "a.h5ad")


def test_sheets_of_spreadsheets_are_read_as_those_of_reads_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sheet(tmp_path, "")
    path.write_bytes("sample\tpath\ns1\ta.h5ad\n".encode("utf-16"))
    assert [row.sample for row in read_cells_sheet(path).rows] == ["s1"]
    path.write_text("sample,path\n# s0,b.h5ad\ns1,~/a.h5ad\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    read = read_cells_sheet(path)
    assert read.rows[0].path == tmp_path / "a.h5ad"
    assert read.notes == ("line 2 begins with # and was passed over",)
    path.write_text("sample,path\ns1,https://example.org/a.h5ad\n")
    with pytest.raises(DataError, match=r"line 2: https://example\.org/a\.h5ad is an address"):
        read_cells_sheet(path)


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "sample,path,donr,organism,expected_cells,round\n"
        "s1,a.h5ad,d1,human,10,\n"
        "s1,b.h5ad,d1,human,ten,\n"
        ",a.h5ad,d1,human,,\n"
        "s 3,nowhere.h5ad,d1,unicorn,,maybe\n"
        "s4,a.h5ad\n"
        "s5,,d1,human,,\n"
    )
    with pytest.raises(DataError) as caught:
        read_cells_sheet(sheet(tmp_path, text))
    told = str(caught.value)
    for words in (
        "line 1: there is no column 'donr'; did you mean 'donor'?",
        "line 3: sample 's1' stands there before, on line 2",
        "line 3: expected_cells is 'ten', and should be a whole number",
        "line 4: there is no sample",
        r"line 4: .*a.h5ad stands there before, on line 2",
        "line 5: sample 's 3' cannot be used",
        "line 5: there is no file or folder .*nowhere.h5ad",
        "line 5: organism 'unicorn' is not known",
        "line 5: round is 'maybe'",
        "line 6: 2 fields, but there are 6 columns",
        "line 7: there is no path",
    ):
        assert re.search(words, told), words
    assert "11 mistakes" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("sample,path\n", "no samples below"),
        ("path\na.h5ad\n", "column 'sample' is missing"),
        ("sample\ns1\n", "column 'path' is missing"),
        ("sample,fastq_1,fastq_2,expected_cells\ns1,a,b,5\n", "run nf-core/scrnaseq with it first"),
        ("sample,path,path\ns1,a.h5ad,b.h5ad\n", "stands there 2 times"),
        ("sample,path,leiden\ns1,a.h5ad,0\n", "cannot be one of the cells"),
        ("sample,path,pct_counts_mt\ns1,a.h5ad,0\n", "cannot be one of the cells"),
        ('sample,path\n"s1,a.h5ad\n', "line"),
    ],
)
def test_a_sheet_that_says_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_cells_sheet(sheet(tmp_path, text))


def test_a_sheet_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a sample sheet"):
        read_cells_sheet(tmp_path / "none.csv")


def test_two_genomes_of_one_file_are_two_samples(tmp_path: Path) -> None:
    text = "sample,path,genome\nh,a.h5ad,GRCh38\nm,a.h5ad,mm10\n"
    assert [row.reading["genome"] for row in read_cells_sheet(sheet(tmp_path, text)).rows] == ["GRCh38", "mm10"]
    with pytest.raises(DataError, match="stands there before, on line 2"):
        read_cells_sheet(sheet(tmp_path, text.replace("mm10", "GRCh38")))


@pytest.mark.parametrize("nothing", ["NA", "N/A", "#N/A", "nan", "NaN", "NULL"])
def test_what_r_and_pandas_write_for_no_value_is_none(tmp_path: Path, nothing: str) -> None:
    columns = "sample,path,condition,donor,organism,expected_cells,age"
    text = f"{columns}\nNA,a.h5ad,{nothing},d1,{nothing},{nothing},{nothing}\n"
    read = read_cells_sheet(sheet(tmp_path, text))
    (row,) = read.rows
    assert (row.sample, row.organism, row.expected_cells, row.columns) == ("NA", "", 0, {"donor": "d1"})
    assert read.notes == (f"line 2: {nothing} is taken for no value (condition, organism, expected_cells, age)",)


def test_values_that_are_written_alike_are_told(tmp_path: Path) -> None:
    text = "sample,path,condition,donor\na,a.h5ad,Ctrl,1\nb,b.h5ad,ctrl,01\nc,c.h5ad,stim,10\n"
    notes = read_cells_sheet(sheet(tmp_path, text, "a.h5ad", "b.h5ad", "c.h5ad")).notes
    assert notes == (
        "condition 'Ctrl' and 'ctrl' count as two, though they are written alike",
        "donor '1' and '01' count as two, though they are written alike",
    )


def test_numbers_are_not_taken_for_one_another(tmp_path: Path) -> None:
    doses = ("0.01", "0.1", "1", "1.0", "10", "1_1", "11")
    rows = "".join(f"s{place},{place}.h5ad,{dose}\n" for place, dose in enumerate(doses))
    files = [f"{place}.h5ad" for place in range(len(doses))]
    assert read_cells_sheet(sheet(tmp_path, f"sample,path,condition\n{rows}", *files)).notes == ()


def test_what_scdownstream_would_do_and_is_not_done_is_told(tmp_path: Path) -> None:
    text = (
        "sample,filtered,batch_col,condition_col,min_genes,max_mito_percentage,ambient_correction,doublet_detection\n"
        "a,a.h5ad,,cond,300,,none,false\nb,b.h5ad,lot,cond,300,10,decontx,scrublet\n"
    )
    told = {note.split()[2]: note for note in read_cells_sheet(sheet(tmp_path, text)).notes}
    assert set(told) == {
        *("condition_col", "min_genes", "batch_col", "max_mito_percentage", "ambient_correction", "doublet_detection")
    }
    assert told["min_genes"] == (
        "line 2: min_genes was passed over: one limit holds for all samples: min_genes= (--min-genes)"
    )
    assert told["batch_col"].startswith("line 3: ")


def test_notes_of_a_sheet_are_told_in_python_too(tmp_path: Path, store: sg.Store) -> None:
    path = sheet(tmp_path, "sample,path,condition\na,a.h5ad,NA\n", "a.h5ad")
    saved(cells(40, 60), tmp_path / "a.h5ad")
    with pytest.warns(DataWarning, match=r"samples\.csv: line 2: NA is taken for no value"):
        scrna(str(path))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            "a,a.h5ad,ctrl,1\nb,b.h5ad,stim,2\n",
            "condition 'stim' is not compared with 'ctrl': they have 1 and 1 donors",
        ),
        ("a,a.h5ad,ctrl,1\nb,b.h5ad,ctrl,2\n", "nothing is compared: all samples that have a condition have one and"),
    ],
)
def test_conditions_that_are_not_compared_are_told(tmp_path: Path, store: sg.Store, rows: str, told: str) -> None:
    """In the run and in the report: a project without a comparison looked like one without differences."""
    for place, name in enumerate("ab"):
        saved(cells(40, 60, seed=place), tmp_path / f"{name}.h5ad")
    (tmp_path / "samples.csv").write_text(f"sample,path,condition,donor\n{rows}")
    with pytest.warns(DataWarning, match=told):
        project = scrna(str(tmp_path / "samples.csv"))
    assert project.differential is None
    [note] = project.report.parameters["notes"]
    assert note.startswith(told)


def test_a_project_that_compares_nothing_says_nothing_of_it(tmp_path: Path, store: sg.Store) -> None:
    saved(cells(40, 60), tmp_path / "a.h5ad")
    (tmp_path / "samples.csv").write_text("sample,path\na,a.h5ad\n")
    assert not scrna(str(tmp_path / "samples.csv")).report.parameters["notes"]


def test_a_column_that_is_missing_is_one_mistake(tmp_path: Path) -> None:
    text = "sample,matrix_h5,condition\na,a.h5,ctrl\nb,b.h5,stim\n"
    with pytest.raises(DataError, match=r"has a mistake:\n  line 1: column 'path' is missing: where the counts"):
        read_cells_sheet(sheet(tmp_path, text))


def test_labels_of_scdownstream_are_told_to_go_nowhere(tmp_path: Path) -> None:
    text = "sample,filtered,label_col,unknown_label\na,a.h5ad,cell_type,unk\n"
    (note,) = read_cells_sheet(sheet(tmp_path, text, "a.h5ad")).notes
    assert note.startswith("line 2: label_col was passed over: labels stay in their column")


def test_who_serves_others_judges_a_sheet_and_what_it_names(tmp_path: Path) -> None:
    place = sheet(tmp_path, "sample,path\ns1,a.h5ad\ns2,../b.h5ad\n")
    asked: list[str] = []
    with read_within(asked.append), pytest.raises(DataError, match="no file or folder"):
        read_cells_sheet(place)
    assert asked == [str(place), str(tmp_path / "a.h5ad"), str(tmp_path / "../b.h5ad")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type,genome\nT cell,hg38\n", "has the columns type, genome"),
        ("cell_type,gene\n", "no genes below"),
        ("", "empty"),
    ],
)
def test_markers_are_read_before_anything_runs(store: sg.Store, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "types.csv").write_text(text)
    path = sheet(tmp_path, "sample,path\ns1,a.h5ad\n")
    with pytest.raises(DataError, match=rf"types\.csv .*{words}"):
        scrna(str(path), markers=str(tmp_path / "types.csv"))
    with pytest.raises(NotFound, match=r"nowhere\.csv"):
        scrna(str(path), markers=str(tmp_path / "nowhere.csv"))


def test_what_is_integrated_over_is_there_before_anything_runs(store: sg.Store, tmp_path: Path) -> None:
    laned = cells(60, seed=1)
    laned.obs["lane"] = "L1"
    saved(laned, tmp_path / "a.h5ad")
    saved(cells(60, seed=2), tmp_path / "b.h5ad")
    path = tmp_path / "samples.csv"
    path.write_text("sample,path\ns1,a.h5ad\ns2,b.h5ad\n")
    with pytest.raises(DataError, match=r"'lane' is to be integrated over.* cells of sample 's2', which have: truth"):
        scrna(str(path), batch_key="lane")
    laned.obs.index = [f"D{place}" for place in range(60)]
    saved(laned, tmp_path / "b.h5ad")
    assert scrna(str(path), batch_key="lane").cells.name == "find_markers"
    path.write_text("sample,path,lane\ns1,a.h5ad,L1\ns2,b.h5ad,L2\n")
    assert scrna(str(path), batch_key="lane").cells.name == "find_markers"
