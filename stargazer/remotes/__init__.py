"""Places outside the store from which bytes may come and to which they may go; nothing of them is believed."""

from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.fetching import fetch_into
from stargazer.remotes.protocol import Remote
from stargazer.remotes.reading import open_remote
from stargazer.remotes.settings import configured, named, read_remote
from stargazer.remotes.sharing import fetch_asset, push

__all__ = [
    "Remote",
    "RemoteWarning",
    "configured",
    "fetch_asset",
    "fetch_into",
    "named",
    "open_remote",
    "push",
    "read_remote",
]
