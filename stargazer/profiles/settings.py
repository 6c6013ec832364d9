"""Profiles from the settings, checked; what is wrong is told with its file and key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.bounded import is_count
from stargazer.errors import ConfigError
from stargazer.profiles.kinds import ProfileKind, kind_names, kind_of
from stargazer.profiles.profile import QUEUES, DriverJob, Profile, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "bytes_of",
    "check_settings",
    "clock_of",
    "find_profile",
    "find_profiles",
    "profile_names",
    "seconds_of",
    "written",
]

# Amounts as people write them.


CLOCK = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d{1,2}){0,2})")


def bytes_of(value: object) -> int:
    """Size in bytes of ``"8 GiB"``, or of a number of bytes.

    Raises
    ------
    ValueError
        It is no size.
    """
    from dask.utils import parse_bytes

    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("no size")
    if isinstance(value, str) and not re.search(r"\d", value):  # to Dask, no number is 1: "" would be one byte
        raise ValueError("no size")
    if (size := int(parse_bytes(value))) < 1:
        raise ValueError("no size")
    return size


def seconds_of(value: object) -> float:
    """Seconds of ``"02:30:00"``, ``"1-12:00:00"`` (a day and a half), ``"90 min"``, or of a number of seconds.

    Raises
    ------
    ValueError
        It is no time.
    """
    from dask.utils import parse_timedelta

    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("no time")
    if isinstance(value, str) and (":" in value or "-" in value):
        seconds = _clock_seconds(value)
    else:
        try:
            minutes = re.sub(r"(?<=\d)\s*mins?$", "m", value.strip()) if isinstance(value, str) else value
            seconds = float(parse_timedelta(minutes, default="s"))
        except (KeyError, TypeError):
            raise ValueError("no time") from None
    if seconds <= 0:
        raise ValueError("no time")
    return seconds


def _clock_seconds(text: str) -> float:
    found = CLOCK.fullmatch(text.strip())
    if not found:
        raise ValueError("no time")
    parts = [int(part) for part in found["clock"].split(":")]
    if found["days"]:  # D-HH, D-HH:MM, D-HH:MM:SS
        parts += [0] * (3 - len(parts))
    hours, minutes, seconds = [0] * (3 - len(parts)) + parts
    return float(int(found["days"] or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)


def clock_of(seconds: float) -> str:
    """Seconds as batch systems write them: ``"26:30:00"``.

    Parameters
    ----------
    seconds
        Rounded up to whole ones.
    """
    whole = int(-(-seconds // 1))
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


STORES = ("auto", "shared", "served")


def profile_names() -> list[str]:
    """Names of the profiles in the settings."""
    return list(config.setting("profiles", dict) or {})


def find_profile(name: str | None = None, **changes: Any) -> Profile:
    """Return a profile from the settings.

    Parameters
    ----------
    name
        Of a profile, a batch system, or the address of a scheduler; None for the one that ``stargazer.profile`` names.
    **changes
        Fields to replace; None leaves them as they are.

    Raises
    ------
    ConfigError
        There is none, or something in it is wrong; the message names file and key.
    """
    name = str(name or config.setting("profile", str))
    given = (config.setting("profiles", dict) or {}).get(name)
    where = f"stargazer.profiles.{name}"
    if given is None:
        given = _unwritten(name)
    if not isinstance(given, Mapping):
        raise _wrong(where, given, "must be a mapping, as {kind: local}")
    options = {str(key).replace("_", "-"): value for key, value in given.items()}
    changes = {key.replace("_", "-"): value for key, value in changes.items()}
    profile = _read(name, where, options)
    return _read(name, "", options | _changes(changes)) if _changes(changes) else profile


def find_profiles(name: str | Sequence[str] | None = None, **changes: Any) -> list[Profile]:
    """Return the profiles whose workers one client shall have side by side; one, where one is named.

    Parameters
    ----------
    name
        As `find_profile`; several as a list or with commas between them, or a profile that names its ``pools``.
    **changes
        Fields to replace, in all of them.

    Raises
    ------
    ConfigError
        One is not there or wrong, is named twice, or is of another batch system than the others.
    """
    names = _names(name)
    if len(names) == 1:
        found = find_profile(names[0], **({} if _has_pools(names[0]) else changes))
        names = list(found.pools)
        if not names:
            return [found]
    profiles = [find_profile(each, **changes) for each in names]
    for each in profiles:
        if each.pools or not each.is_queue or each.kind != profiles[0].kind:
            kinds = ", ".join(f"{profile.name} is of kind {profile.kind}" for profile in profiles)
            raise ConfigError(f"one client has workers of one batch system, but {kinds}")
    if len(set(names)) < len(names):
        raise ConfigError(f"a pool is named twice: {', '.join(names)}")
    return profiles


def _has_pools(name: str | None) -> bool:
    given = (config.setting("profiles", dict) or {}).get(str(name or config.setting("profile", str)))
    return isinstance(given, Mapping) and bool(given.get("pools"))


def _names(name: str | Sequence[str] | None) -> list[Any]:
    if name is None or (isinstance(name, str) and ("," not in name or "://" in name)):
        return [name]
    names = [each.strip() for each in (name.split(",") if isinstance(name, str) else name)]
    if not names or not all(names):
        raise ConfigError(f"{name!r} names no profiles; write for instance 'slurm,bigmem'")
    return names


def _changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def written(profile: Profile) -> dict[str, Any]:
    """Return a profile as it would stand in the settings, with all that `find_profile` was told to change."""
    plain = Profile(profile.name)
    found: dict[str, Any] = {"kind": profile.kind}
    for each in fields(Profile):
        value = getattr(profile, each.name)
        if each.name not in ("name", "kind") and value != getattr(plain, each.name):
            if isinstance(value, DriverJob):
                value = {name: item for name, item in value._asdict().items() if item is not None}
            value = str(value) if isinstance(value, Range) else list(value) if isinstance(value, tuple) else value
            found[each.name.replace("_", "-")] = value
    return found


def check_settings() -> None:
    """Check every setting.

    Raises
    ------
    ConfigError
        The first that is wrong, or that does not exist.
    """
    import dask.config

    for read in (
        config.store_url,
        config.cache_dir,
        config.cache_size,
        config.scratch_dir,
        config.cid_profile,
        config.durable,
        config.strict,
        config.passed_names,
        config.cram_references,
    ):
        read()
    for key in dask.config.get("stargazer", {}):
        if str(key).replace("_", "-") not in config.settings():
            known = ", ".join(config.settings())
            raise ConfigError(f"there is no setting stargazer.{key} ({config.origin_of(str(key))}); there are {known}")
    for name in profile_names():
        find_profile(name)


def _unwritten(name: str) -> dict[str, Any]:
    if "://" in name:
        return {"kind": "address", "address": name}
    kind = kind_of(name)
    if kind is not None and not kind.needs:
        return {"kind": name}
    raise ConfigError(
        f"there is no profile {name!r}; there are {', '.join(profile_names())}, the batch systems of dask-jobqueue "
        f"({', '.join(QUEUES)}), and addresses as 'tcp://host:8786'. Profiles are written under stargazer.profiles"
    )


def _read(name: str, where: str, options: dict[str, Any]) -> Profile:
    word = "pools" if options.get("pools") else str(options.get("kind", name))
    kind = kind_of(word)
    if kind is None:
        raise _wrong(f"{where}.kind", word, f"must be one of {', '.join(kind_names())}")
    allowed = (*kind.takes, *kind.options)
    values: dict[str, Any] = {"name": name, "kind": word}
    for key, value in options.items():
        if key not in allowed:
            raise _wrong(f"{where}.{key}", value, f"is no option of kind {word}; there are {', '.join(allowed)}")
        if key in kind.options:
            values.setdefault("options", {})[key] = _own(f"{where}.{key}", kind, key, value)
        elif value is not None and key != "kind":
            values[key.replace("-", "_")] = _checked(f"{where}.{key}", key, value)
    if kind.needs and kind.needs not in values:
        raise _wrong(f"{where}.{kind.needs}", None, f"must be {CHECKS[kind.needs][1]}")
    return Profile(**values)


def _own(where: str, kind: ProfileKind, key: str, value: Any) -> Any:
    """Value of an option that a kind has of its own."""
    try:
        return kind.options[key](value)
    except (ValueError, TypeError) as error:
        raise _wrong(where, value, f"must be what its kind can read: {error}") from None


def _checked(where: str, key: str, value: Any) -> Any:
    check, wanted = CHECKS[key]
    try:
        return check(value)
    except (ValueError, TypeError, AttributeError):
        shown = "…" if key == "token" else value  # somebody may have written the token itself
        raise _wrong(where, shown, f"must be {wanted}") from None


def _wrong(where: str, value: Any, problem: str) -> ConfigError:
    if not where.startswith("stargazer."):
        return ConfigError(f"{where.lstrip('.')}={value!r}, but {problem}")
    source = config.origin_of(where.removeprefix("stargazer."))
    return ConfigError(f"{where} is {'not set' if value is None else repr(value)} ({source}), but {problem}")


def _range(value: Any) -> Range:
    if isinstance(value, str) and "-" in value:
        minimum, maximum = map(int, value.split("-"))
    else:
        minimum = maximum = _whole(value, 1)
    if not 0 <= minimum <= maximum or not maximum:
        raise ValueError("no range")
    return Range(minimum, maximum)


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or int(value) < least:
        raise ValueError("too small")
    return int(value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise ValueError("no list")
    return tuple(value)


def _text(value: Any) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError("no text")
    return str(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("no truth")
    return value


def _address(value: Any) -> str:
    if "://" not in value:
        raise ValueError("no address")
    return str(value)


def _url(value: Any) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        raise ValueError("no URL")
    return str(value).rstrip("/")


def _variable(value: Any) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise ValueError("no name")
    return str(value)


def _dashboard(value: Any) -> str | None:
    """Any port, for everybody, where it is ``true``; what it is anyway where it is ``false``."""
    if isinstance(value, bool):
        return ":0" if value else None
    host, colon, port = str(value).rpartition(":")
    if not (colon and is_count(port) and int(port) < 1 << 16) or "/" in host:
        raise ValueError("no place to listen")
    return str(value)


def _store(value: Any) -> str:
    if value not in STORES:
        raise ValueError("no such way")
    return str(value)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("no mapping")
    return {str(key).replace("-", "_"): item for key, item in value.items()}


def _job_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][\w.-]{0,63}", value):
        raise ValueError("no name")
    return value


def _rate(value: Any) -> int:
    return _whole(re.sub(r"\s*/\s*(min|minute)$", "", value) if isinstance(value, str) else value, 1)


def _driver(value: Any) -> DriverJob:
    """The job of a driver; what is wrong in it is told as a whole, with what it may have."""
    if isinstance(value, DriverJob):
        return value
    options = {str(key).replace("_", "-"): item for key, item in value.items()}
    if unknown := options.keys() - set(DriverJob._fields):
        raise ValueError(f"no option {', '.join(sorted(unknown))}")
    checks = {name: CHECKS[name][0] for name in DriverJob._fields if name != "times"} | {
        "times": lambda item: _whole(item, 1)
    }
    return DriverJob(**{name: checks[name](item) for name, item in options.items() if item is not None})


CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "address": (_address, "the address of a scheduler, as 'tcp://host:8786'"),
    "workers": (_range, "a number from 1, or a range as '0-10'"),
    "cpus": (lambda value: _whole(value, 1), "a whole number from 1"),
    "gpus": (lambda value: _whole(value, 0), "a whole number"),
    "memory": (bytes_of, "a size, as '8 GiB'"),
    "walltime": (seconds_of, "a time, as '08:00:00' or '90 min'"),
    "patience": (seconds_of, "a time, as '60 s'"),
    "idle": (seconds_of, "a time, as '60 s'"),
    "names": (_texts, "a list of names"),
    "env": (_texts, "a list of names of environment variables"),
    "directives": (_texts, "a list of texts"),
    "prologue": (_texts, "a list of texts"),
    "queue": (_text, "text"),
    "account": (_text, "text"),
    "interface": (_text, "text"),
    "shared": (_text, "a directory"),
    "python": (_text, "a path"),
    "store": (_store, f"one of {', '.join(STORES)}"),
    "dashboard": (_dashboard, "where it listens, as ':8787' or '127.0.0.1:8787', or true or false"),
    "tls": (_truth, "true or false"),
    "options": (_mapping, "a mapping"),
    "pools": (_texts, "a list of profiles, as [slurm, bigmem]"),
    "job-name": (_job_name, "a name of letters, digits, '_', '.' and '-'"),
    "submit-rate": (_rate, "submissions a minute, as 20 or '20/min'"),
    "queue-size": (lambda value: _whole(value, 1), "a whole number from 1"),
    "url": (_url, "the URL of an executor, as 'https://gpu.lab:8790'"),
    "token": (_variable, "the name of an environment variable that holds the token, never the token itself"),
    "runtime": (_text, "a text that tells the software there from any other, as 'torch-2.9-cu13'"),
    "trust": (_truth, "true or false"),
    "pull": (_url, "by which URL it reaches this machine, as 'http://10.0.0.7:8791'"),
    "largest": (bytes_of, "a size, as '4 GiB'"),
    "driver": (_driver, "a mapping with cpus, memory, walltime, queue, directives, times, as {walltime: 7-00:00:00}"),
}
