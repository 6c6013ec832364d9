"""The identity of code: what a function does, whatever its layout, comments or place."""

from stargazer.fingerprint.canonical import canonical, encode
from stargazer.fingerprint.identity import CodeIdentity, UncertainIdentity, digest_of, identify, identify_class, wide_of
from stargazer.fingerprint.source import note_modules

__all__ = [
    "CodeIdentity",
    "UncertainIdentity",
    "canonical",
    "digest_of",
    "encode",
    "identify",
    "identify_class",
    "note_modules",
    "wide_of",
]
