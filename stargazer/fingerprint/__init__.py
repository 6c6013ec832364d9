"""The identity of code: what a function does, whatever its layout, comments or place."""

from stargazer.fingerprint.canonical import canonical, encode
from stargazer.fingerprint.classes import class_code, class_name, module_name
from stargazer.fingerprint.identity import CodeIdentity, UncertainIdentity, digest_of, identify
from stargazer.fingerprint.versioned import identify_version

__all__ = [
    "CodeIdentity",
    "UncertainIdentity",
    "canonical",
    "class_code",
    "class_name",
    "digest_of",
    "encode",
    "identify",
    "identify_version",
    "module_name",
]
