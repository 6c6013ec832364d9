"""What every call did: cache and provenance are the same thing."""

from stargazer.ledger.ledger import Ledger, NotDeterministic
from stargazer.ledger.record import Record
from stargazer.ledger.results import decode, encode, walk_assets
from stargazer.ledger.trace import Lineage, trace

__all__ = ["Ledger", "Lineage", "NotDeterministic", "Record", "decode", "encode", "trace", "walk_assets"]
