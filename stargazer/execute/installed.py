"""Which files are Python's own, installed libraries' or the system's: reading these is no hidden input."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig

__all__ = ["is_installed", "libraries"]

OF_THE_SYSTEM = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/std", "/dev/fd/",
    "/dev/pts/",
    "/proc/", "/sys/", "/run/systemd/", "/run/nscd/", "/run/resolvconf/",
    "/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/",
    "/usr/local/lib/",
    "/usr/share/zoneinfo/", "/usr/share/locale", "/usr/share/i18n/", "/usr/share/fonts/", "/usr/share/fontconfig/",
    "/etc/ssl/", "/etc/pki/", "/etc/fonts/", "/etc/localtime", "/etc/timezone", "/etc/hosts", "/etc/resolv.conf",
    "/etc/nsswitch.conf", "/etc/mime.types", "/etc/passwd", "/etc/group", "/etc/ld.so", "/etc/os-release",
    "/etc/alternatives/",
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def is_installed(path: str) -> bool:
    """Whether a file of code is Python's own, an installed library's or the engine's; a cell of a notebook is not."""
    return path.startswith(("<frozen", *libraries())) or "site-packages" in path or "dist-packages" in path


@functools.cache
def libraries() -> tuple[str, ...]:
    """Beginnings of the paths of all such files."""
    engine = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = {*sysconfig.get_paths().values(), engine, *_prefixes()}
    real = {os.path.realpath(path) for path in paths}
    return (*OF_THE_SYSTEM, *(f"{path}{os.sep}" for path in sorted(paths | real) if path != os.sep))


def _prefixes() -> set[str]:
    """Folders of whole environments; never ones that hold other things as well."""
    shared = {"/usr", "/usr/local", os.path.expanduser("~")}
    return {path for path in (sys.prefix, sys.base_prefix) if path not in shared}
