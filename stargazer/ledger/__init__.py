"""What every call did: cache and provenance are the same thing."""

from stargazer.ledger.ledger import Ledger, NotDeterministic
from stargazer.ledger.record import Record, decode, encode, walk_assets

__all__ = ["Ledger", "NotDeterministic", "Record", "decode", "encode", "walk_assets"]
