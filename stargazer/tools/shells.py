"""Commands in a text for a shell: which programs it starts, without running it."""

from __future__ import annotations

import os
import re
import shlex

__all__ = ["GIVEN_TO_FIND", "LONGEST_TEXT", "STARTS_OTHERS", "first_words"]

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
