"""What every call did: cache and provenance are the same thing."""

from stargazer.ledger.codec import decode, encode, walk_assets
from stargazer.ledger.ledger import Ledger, NotDeterministic
from stargazer.ledger.record import Record

__all__ = ["Ledger", "NotDeterministic", "Record", "decode", "encode", "walk_assets"]
