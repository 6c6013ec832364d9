"""Places outside the store from which bytes may come and to which they may go; nothing of them is believed."""

from stargazer.remotes.base import Remote
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.bundles import Bundle, bundle_at, bundles, find_bundle, make_bundle, read_bundle
from stargazer.remotes.fetch import fetch_into
from stargazer.remotes.lineage import fetch_lineage, push_lineage
from stargazer.remotes.push import fetch_asset, push
from stargazer.remotes.read import open_remote
from stargazer.remotes.settings import configured, for_a_person, named, read_remote

__all__ = [
    "Bundle",
    "Remote",
    "RemoteWarning",
    "bundle_at",
    "bundles",
    "configured",
    "fetch_asset",
    "fetch_into",
    "fetch_lineage",
    "find_bundle",
    "for_a_person",
    "make_bundle",
    "named",
    "open_remote",
    "push",
    "push_lineage",
    "read_bundle",
    "read_remote",
]
