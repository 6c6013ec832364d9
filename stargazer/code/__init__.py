"""The identity of code: what a function does, whatever its layout, comments or place."""

from stargazer.code.canonical import canonical
from stargazer.code.identity import CodeIdentity, UncertainIdentity, digest_of, identify
from stargazer.code.values import encode

__all__ = ["CodeIdentity", "UncertainIdentity", "canonical", "digest_of", "encode", "identify"]
