"""Words of commands, and texts for a shell: which programs, files and variables they name, without running them."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "GIVEN_TO_FIND",
    "SHELLS",
    "STARTS_OTHERS",
    "first_words",
    "is_text",
    "paths_in",
    "paths_in_word",
    "values_in",
    "variables_in",
    "words_in",
]

SHELLS = {"sh", "bash", "dash", "ksh", "zsh"}
PATH = re.compile(r"(?<![\w$}.])/[\w@%+=:,.~/-]*[\w@%+=~/-]")
WRITTEN_TO = re.compile(r"""\d*&?>>?\|?\s*["']?[\w@%+=:,.~/$\{\}-]+""")

LONGEST_TEXT = 1 << 16
"""Characters of a text for a shell that are looked at."""

NOT_COMMANDS = {
    "if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "function",
    "select", "cd", "set", "export", "unset", "read", "local", "eval", "trap", "exit", "return", "shift",
    "wait", "ulimit", "umask", "[", "[[", "{", "}", "!", ":", "alias", "type", "hash", "pushd", "popd",
    "declare", "let", "getopts", "break", "continue", "coproc",
}  # fmt: skip
GOES_ON = {
    "if", "then", "else", "elif", "do", "while", "until", "{", "!", "time", "exec", "command", "source", ".", "env",
    "nice", "nohup",
}  # fmt: skip
"""Words of a shell after which a command follows."""

STARTS_OTHERS = {
    "xargs", "timeout", "stdbuf", "setsid", "parallel", "sudo", "chronic", "ionice", "taskset", "srun", "mpirun",
}  # fmt: skip
"""Programs that start what follows their options."""

GIVEN_TO_FIND = {"-exec", "-execdir", "-ok", "-okdir"}
NO_COMMAND = re.compile(r"\w+\+?=|-|[\d.]+[smhdkMG]?$")
"""Assignments, options, and numbers that are values of these."""

CONTINUED = re.compile(r"\\\n")


def words_in(text: str) -> list[str]:
    """Words of a text for a shell that may name what it reads."""
    return re.findall(r"[\w@%+=:,.~/-]+", WRITTEN_TO.sub(" ", text[:LONGEST_TEXT]))


def variables_in(text: str, command: Sequence[object]) -> list[str]:
    """Variables of the environment that a text for a shell names, or what ``printenv`` is asked for."""
    program = os.path.basename(str(command[0])) if command else ""
    if program == "printenv":
        return [text] if text.isidentifier() and text != program else []
    if program in SHELLS:
        return re.findall(r"\$\{?([A-Za-z_]\w*)", text[:LONGEST_TEXT])
    return []


def paths_in(text: str) -> list[str]:
    """Absolute paths in a text, without those that a shell writes to."""
    return PATH.findall(WRITTEN_TO.sub(" ", text[:LONGEST_TEXT]))


def paths_in_word(word: str) -> list[str]:
    """Absolute paths in a word of a command: the word itself, what follows ``=``, or in a text for an interpreter."""
    if is_text(word):
        return paths_in(word)
    return [part for part in values_in(word) if part.startswith(os.sep)]


def values_in(word: str) -> list[str]:
    """A word of a command, and what it may give to an option: ``--file=x`` and ``-fx``."""
    short = [word[2:]] if re.match(r"-[A-Za-z][^=]", word) else []
    return [word, *filter(None, [word.partition("=")[2]]), *short]


def is_text(word: str) -> bool:
    """Whether a word of a command is a text for an interpreter."""
    return any(sign in word for sign in " \n\"'")


def first_words(text: str) -> list[str]:
    """Return the first words of the commands in a text for a shell; none where it cannot be read."""
    words = shlex.shlex(
        CONTINUED.sub(" ", text[:LONGEST_TEXT]).replace("\n", " ; "), posix=True, punctuation_chars=True
    )
    words.commenters = ""
    found, begins = [], True
    try:
        for word in words:
            if set(word) <= set("();|&") or (begins and word in GOES_ON) or word in GIVEN_TO_FIND:
                begins = True
            elif set(word) <= set("<>&"):
                begins = False
            elif begins and not NO_COMMAND.match(word):
                begins = os.path.basename(word) in STARTS_OTHERS
                if word not in NOT_COMMANDS and re.fullmatch(r"[\w@%+.~/-]+", word):
                    found.append(word)
    except ValueError:
        return []
    return list(dict.fromkeys(found))
