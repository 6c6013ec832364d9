"""SLURM's commands with faults: each call is written down, and may hang, be refused, late, or wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["KINDS", "Faults"]

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
KINDS = ("hang", "refuse", "empty", "late", "warn", "wrong", "killed")

SCRIPT = """#!/bin/bash
echo "$(date +%s) {name} $*" >> {folder}/calls
kinds=($(cat {folder}/{name} 2>/dev/null))
[[ "$*" == *--test-only* ]] && kinds=()
fault=${{kinds[$((RANDOM % (${{#kinds[@]}} > 0 ? ${{#kinds[@]}} : 1)))]}}
case "$fault" in
  hang) sleep 300;;
  refuse) echo "{name}: error: Socket timed out on send/recv operation" >&2; exit 1;;
  limit) if [ "$({real_squeue} --noheader --me --array | wc -l)" -ge 2 ]; then
      echo "{name}: error: QOSMaxSubmitJobPerUserLimit" >&2
      echo "{name}: error: Batch job submission failed: Job violates accounting/QOS policy" >&2; exit 1; fi;;
  empty) exit 0;;
  late) sleep 1;;
  warn) echo; echo "{name}: warning: maintenance on Friday 13"; exit 0;;
  wrong) {real} "$@" | sed 's/[0-9][0-9]*/9&/'; exit 0;;
  killed) {real} "$@" > /dev/null; kill -9 $$;;
esac
exec {real} "$@"
"""


class Faults:
    """A folder for PATH, with commands that play what they are told to.

    Parameters
    ----------
    folder
        To be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        squeue = shutil.which("squeue")
        for name in COMMANDS:
            script = SCRIPT.format(name=name, folder=folder, real=shutil.which(name), real_squeue=squeue)
            (folder / name).write_text(script.replace(f"{folder}/{name} ", f"{folder}/{name}.fault "))
            (folder / name).chmod(0o755)

    def play(self, name: str, *kinds: str) -> None:
        """Let a command have these faults from now on, by chance one of them each time; none ends them."""
        (self.folder / f"{name}.fault").write_text(" ".join(kinds))

    def calls(self, name: str) -> list[float]:
        """When a command was called."""
        file = self.folder / "calls"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [float(line[0]) for line in lines if line[1] == name and "--test-only" not in line]
