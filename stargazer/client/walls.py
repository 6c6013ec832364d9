"""Walls around a session: who may talk to its scheduler and workers, and who sees its pages.

Whoever may talk to a Dask scheduler runs code as its owner. So every connection that leaves this process is encrypted
with keys that are made for the session and never written where others read, and a client without them is refused.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import ConfigError, StoreError
from stargazer.store.folders import private_folder

if TYPE_CHECKING:
    from stargazer.profiles.profile import Profile

__all__ = ["HERE_ALONE", "check_encrypted", "dashboard_address", "own_space", "session_keys"]

HERE_ALONE = "127.0.0.1:0"
"""Any free port, for this machine alone."""

WITHIN = ("tls://", "wss://", "inproc://")
"""Addresses whose connections are encrypted, or never leave the process."""


def session_keys() -> Any:
    """Return keys of one session, in memory alone, with which both ends of a connection know each other.

    Raises
    ------
    ConfigError
        The package that makes them is missing.
    """
    from distributed import Security

    try:
        return Security.temporary()
    except ImportError:
        raise ConfigError(
            "connections between processes are encrypted, which wants the package cryptography: pip install "
            "cryptography; or connect('threads'), whose calls run in this process"
        ) from None


def dashboard_address(profile: Profile) -> dict[str, str]:
    """Return where Dask's dashboard listens: for this machine alone, unless the profile opens it."""
    return {"dashboard_address": profile.dashboard or HERE_ALONE}


def own_space() -> str:
    """Return a folder of this user's own in which workers of this machine keep what does not fit into memory.

    They read it back as pickles, and Dask takes a folder of one name for everybody, also one that somebody else has
    made for that.
    """
    import os
    import tempfile

    import dask.config

    above = dask.config.get("temporary-directory", None) or tempfile.gettempdir()
    folder = os.path.join(os.path.abspath(above), f"stargazer-workers-{os.getuid()}")
    try:
        private_folder(folder)
    except (OSError, StoreError):  # somebody else's, or a link
        return tempfile.mkdtemp(prefix="stargazer-workers-", dir=above)
    return folder


def check_encrypted(address: str) -> None:
    """Tell that a scheduler's connections can be read, and its workers used, by others.

    Raises
    ------
    ConfigError
        They can, and the setting ``stargazer.strict`` is on.
    """
    if address.startswith(WITHIN):
        return
    problem = (
        f"connections to {address} are not encrypted: whoever reaches that port runs code as the owner of its workers. "
        "Start the scheduler and its workers with TLS, and name it as 'tls://…' "
        "(https://distributed.dask.org/en/stable/tls.html)"
    )
    if config.strict():
        raise ConfigError(f"{problem}; the setting stargazer.strict refuses it")
    warnings.warn(problem, UserWarning, stacklevel=4)
