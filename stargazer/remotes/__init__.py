"""Places outside the store from which bytes may come and to which they may go; nothing of them is believed."""

from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.bundles import Bundle, bundles, find_bundle, make_bundle, read_bundle
from stargazer.remotes.fetching import fetch_into
from stargazer.remotes.lineages import fetch_lineage, push_lineage
from stargazer.remotes.protocol import Remote
from stargazer.remotes.reading import open_remote
from stargazer.remotes.settings import configured, named, read_remote
from stargazer.remotes.sharing import fetch_asset, push

__all__ = [
    "Bundle",
    "Remote",
    "RemoteWarning",
    "bundles",
    "configured",
    "fetch_asset",
    "fetch_into",
    "fetch_lineage",
    "find_bundle",
    "make_bundle",
    "named",
    "open_remote",
    "push",
    "push_lineage",
    "read_bundle",
    "read_remote",
]
