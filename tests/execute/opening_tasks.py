"""Tasks whose bodies have files opened by libraries in C."""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ProcessPoolExecutor
from glob import glob
from multiprocessing import get_context
from pathlib import Path

import h5py
import pyarrow.parquet as pq
import pysam

import stargazer as sg


def number_in(path: object) -> int:
    with h5py.File(path) as file:
        return int(file["x"][()])


@sg.task
def globbed(work: sg.Workdir, *, folder: str) -> int:
    return sum(number_in(path) for path in glob(f"{folder}/*.h5"))


@sg.task
def listed(work: sg.Workdir, *, folder: str) -> int:
    names = sorted(os.listdir(folder))
    return sum(number_in(os.path.join(folder, name)) for name in names if name.endswith(".h5"))


@sg.task
def worked_out(work: sg.Workdir, *, folder: str) -> int:
    with pysam.VariantFile(f"{folder}/s{len(folder[:1])}.vcf") as variants:
        return next(record.pos for record in variants)


@sg.task
def below(work: sg.Workdir, *, folder: str) -> int:
    return int(pq.read_table(Path(folder) / "deep" / "s1.parquet")["x"][0].as_py())


@sg.task
def from_the_environment(work: sg.Workdir, *, folder: str) -> int:
    return number_in(Path(os.environ["MY_NUMBERS"]) / f"s{len(folder[:1])}.h5")


@sg.task
def in_the_current_folder(work: sg.Workdir, *, folder: str) -> int:
    return number_in("s" + str(len(folder[:1])) + ".h5")


@sg.task
def imported_within(work: sg.Workdir, *, folder: str) -> int:
    from pysam import VariantFile as Calls

    with Calls("/".join([folder, "s1" + ".vcf"])) as variants:
        return next(record.pos for record in variants)


@sg.task
def begun_by_a_prefix(work: sg.Workdir, *, folder: str) -> int:
    return number_in(folder + "1.h5")


@sg.task
def by_a_shell(work: sg.Workdir, *, folder: str) -> int:
    return int(work.output(["sh", "-c", f"cd {folder} && cat s1*.txt"]))


@sg.task
def writes(work: sg.Workdir, *, folder: str) -> int:
    with h5py.File(f"{folder}/made.h5", "w") as file:
        file["x"] = 1
    return number_in(f"{folder}/made.h5")


@sg.task
def counts(work: sg.Workdir, reads: sg.Asset, *, folder: str) -> int:
    with pysam.VariantFile(str(reads.path)) as variants:
        return sum(1 for _ in variants)


@sg.task
def beside(work: sg.Workdir, reads: sg.Asset) -> int:
    libc = ctypes.CDLL(None)
    libc.close(libc.open(b"notes.ipynb", os.O_RDONLY))
    return number_in(reads.path)


def first_number(path: str) -> int:
    return int(Path(path).read_text().splitlines()[-1].split("\t")[1])


@sg.task
def in_a_new_process(work: sg.Workdir, *, folder: str) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(first_number, f"{folder}/s{len(folder[:1])}.vcf").result()


@sg.task
def by_a_tool(work: sg.Workdir, *, folder: str) -> int:
    work.file("list").write_text(f"{folder}/s1.vcf\n")
    work.run(["sh", "-c", "xargs cat < list > all"])
    return first_number(str(work.file("all")))
