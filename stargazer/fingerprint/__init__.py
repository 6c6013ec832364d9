"""The identity of code: what a function does, whatever its layout, comments or place."""

from stargazer.fingerprint.canonical import canonical, encode
from stargazer.fingerprint.classes import class_code, class_name, module_name
from stargazer.fingerprint.compiled import note_modules
from stargazer.fingerprint.identity import UncertainIdentity, digest_of, identify, identify_class
from stargazer.fingerprint.versioned import identify_version
from stargazer.fingerprint.watch import CodeIdentity, wide_of

__all__ = [
    "CodeIdentity",
    "UncertainIdentity",
    "canonical",
    "class_code",
    "class_name",
    "digest_of",
    "encode",
    "identify",
    "identify_class",
    "identify_version",
    "module_name",
    "note_modules",
    "wide_of",
]
