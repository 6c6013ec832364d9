"""The identity of code: what a function does, whatever its layout, comments or place."""

from stargazer.fingerprint.canonical import canonical, encode
from stargazer.fingerprint.identity import CodeIdentity, UncertainIdentity, digest_of, identify

__all__ = ["CodeIdentity", "UncertainIdentity", "canonical", "digest_of", "encode", "identify"]
