"""Settings: ``stargazer.yaml`` under ``dask.config``. Nothing else reads the environment.

Every function reads the setting when it is called, so ``dask.config.set`` works at any time.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ACCEPT",
    "MASK",
    "accept",
    "allocated",
    "batch_job",
    "cache_dir",
    "cache_size",
    "catalog",
    "cid_profile",
    "command_environment",
    "container_runtime",
    "cram_references",
    "default_gateways",
    "durable",
    "environment",
    "environment_class",
    "environment_inside",
    "gatk_jar",
    "image",
    "is_secret",
    "key_file",
    "mcp_setting",
    "notebook_setting",
    "on_end",
    "origin_of",
    "passed_names",
    "remote_patience",
    "remotes",
    "required_tools",
    "revoked",
    "scratch_dir",
    "secret",
    "secret_values",
    "secrets",
    "service_settings",
    "set_variable",
    "setting",
    "settings",
    "store_url",
    "strict",
    "token_file",
    "told_environment",
    "trust",
    "user_environment",
    "user_name",
    "variable",
    "variables",
]

ACCEPT = ("anyone", "signed", "own")
DEFAULTS = Path(__file__).with_name("stargazer.yaml")
PASSED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG")
PASSED_KINDS = ("OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "SLURM_")
"""Variables that tools get, and beginnings of such: where things are, and what the machine gives."""

LOADED = re.compile(r"TOOL|INJECTION|PRELOAD|PLUGIN|LIBRAR(Y|IES)$")
"""Those of such beginnings that name code to be loaded (``OMP_TOOL_LIBRARIES``, ``CUDA_INJECTION64_PATH``)."""

PLACES = (
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "JAVA_HOME", "CONDA_PREFIX", "PERL5LIB", "PYTHONPATH", "R_HOME", "R_LIBS",
    "R_LIBS_SITE", "R_LIBS_USER",
)  # fmt: skip
"""Folders that loaded modules and conda environments need; records name them, for another may hold other code."""

SEARCHED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PERL5LIB", "PYTHONPATH", "R_LIBS", "R_LIBS_SITE")
"""Lists of folders. An empty or relative one would be the folder of the inputs, whose files are data."""

FIXED = {
    "LC_ALL": "C",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    # Files in the current folder, and in the user's home, that R would run.
    "R_PROFILE_USER": os.devnull,
    "R_ENVIRON_USER": os.devnull,
}
"""What every tool gets, so that results depend on nobody's habits."""

REFERENCES = ("REF_PATH", "REF_CACHE")
NO_REFERENCES = "/nonexistent/%s"
"""Where htslib looks for the reference of a CRAM that names it by MD5: nowhere, so neither in the network."""

SECRET = re.compile(r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|JWT|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE)


@functools.cache
def _defaults() -> dict[str, Any]:
    import dask.config
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: dict[str, dict[str, Any]] = yaml.load(DEFAULTS.read_text("utf-8"), loader)
    dask.config.update_defaults(loaded)
    return loaded["stargazer"]


def settings() -> dict[str, Any]:
    """All settings below ``stargazer`` with their defaults."""
    return dict(_defaults())


def origin_of(key: str) -> str:
    """Where the value of ``stargazer.<key>`` comes from: a file, a variable, the program or the defaults."""
    from stargazer.origins import origin

    return origin(f"stargazer.{key}", _defaults())


def setting(key: str, kind: type | tuple[type, ...]) -> Any:
    """Value of ``stargazer.<key>``, checked.

    Parameters
    ----------
    key
        Name below ``stargazer``, as in ``stargazer.yaml``.
    kind
        The type that the value must have; ``None`` is always allowed.

    Raises
    ------
    ConfigError
        The value has another type, or the key does not exist.
    """
    import dask.config

    defaults = _defaults()
    if key not in defaults:
        raise ConfigError(f"there is no setting stargazer.{key}; see {DEFAULTS.name} for those there are")
    # `dask.config.set` that began before the defaults were loaded takes them away again when it ends.
    section = dask.config.config.get("stargazer", {})
    value = section[key] if key in section else dask.config.get(f"stargazer.{key}", default=defaults[key])
    if value is not None and not isinstance(value, kind):
        wanted = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise ConfigError(f"stargazer.{key} is {value!r} ({origin_of(key)}), but must be of type {wanted}")
    return value


def store_url() -> str:
    """URL or path of the store that is used when none is given."""
    url: str | None = setting("store", str)
    return url or os.environ.get("STARGAZER_LOCAL", "").strip() or str(Path.home() / ".stargazer" / "store")


def strict() -> bool:
    """Whether what would only be warned of is refused: what a result may depend on unnoticed, open walls."""
    return bool(setting("strict", bool))


def cache_dir() -> Path:
    """Directory of this host's caches; all in it can be deleted at any time."""
    configured: str | None = setting("cache", str)
    if configured:
        return Path(configured).expanduser()
    import platformdirs

    return _writable(Path(platformdirs.user_cache_dir("stargazer")))


@functools.cache
def _writable(place: Path) -> Path:
    """A directory of the user, or else a private one for temporary files: homes may be full, read-only, or missing."""
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        if (found := place.stat()).st_uid == os.getuid() and found.st_mode & 0o077:
            place.chmod(found.st_mode & 0o700)
    if os.access(place, os.W_OK | os.X_OK):
        return place
    import logging
    import tempfile

    other = Path(tempfile.gettempdir()) / f"stargazer-{os.getuid()}"
    other.mkdir(mode=0o700, exist_ok=True)
    if other.lstat().st_uid != os.getuid():
        raise ConfigError(
            f"neither {place} nor {other} is yours to write to; name a directory: DASK_STARGAZER__CACHE=…"
        )
    logging.getLogger("stargazer").warning(
        "%s cannot be written; caches are in %s until the setting stargazer.cache names a better place", place, other
    )
    return other


def cache_size() -> int | None:
    """Bytes that this host keeps of each store that lies elsewhere; None for the cache's own choice."""
    configured = setting("cache-size", (str, int))
    if configured is None:
        return None
    from dask.utils import parse_bytes

    try:
        size = int(parse_bytes(configured))
    except ValueError:
        size = -1
    if size < 0 or isinstance(configured, bool):
        raise ConfigError(
            f"stargazer.cache-size is {configured!r} ({origin_of('cache-size')}), but must be a size, as '64 GiB'"
        )
    return size


def scratch_dir() -> Path | None:
    """Directory in which tasks work, or None for the store's own choice."""
    configured: str | None = setting("scratch", str)
    return Path(configured).expanduser() if configured else None


def gatk_jar() -> Path | None:
    """The jar that starts GATK, or None for the one on PATH or in the cache."""
    configured: str | None = setting("gatk-jar", str)
    return Path(configured).expanduser().absolute() if configured else None


def container_runtime() -> str | None:
    """Name of the program that runs containers, where the first one that is here shall not."""
    chosen: str | None = setting("container-runtime", str)
    return chosen or None


def image() -> str:
    """What says in which container image this process runs, as whoever started that knows it; in no key."""
    return str(setting("image", str) or "")


def cid_profile() -> str:
    """Name of the CID profile of stores that are made from now on."""
    return str(setting("cid-profile", str))


def durable() -> bool:
    """Whether every write is synced to disk before it counts."""
    return bool(setting("durable", bool))


def remotes() -> list[Any]:
    """Places to look for what is not in the store, as they are written in the settings, in order.

    Where there are none, the account is one that PINATA_JWT lets in, at PINATA_GATEWAY, PINATA_VISIBILITY.
    """
    return list(setting("remotes", list) or []) or _account()


def _account() -> list[Any]:
    if not secret("PINATA_JWT"):
        return []
    gateway = os.environ.get("PINATA_GATEWAY", "").strip()
    where = {"gateway": _with_scheme(gateway)} if gateway else {}
    return [{"pinata": os.environ.get("PINATA_VISIBILITY", "").strip().lower() or "private", **where}]


def default_gateways() -> list[str]:
    """Public gateways that are asked at a person's request where no remote is configured; PINATA_GATEWAY among them."""
    found = setting("default-gateways", list)
    found = _defaults()["default-gateways"] if found is None else found
    if not all(isinstance(each, str) and each for each in found):
        where = origin_of("default-gateways")
        raise ConfigError(f"stargazer.default-gateways is {found!r} ({where}), but must be a list of URLs")
    own = os.environ.get("PINATA_GATEWAY")
    if own is None or found != _defaults()["default-gateways"]:
        return list(found)
    return [_with_scheme(own.strip())] if own.strip() else []


def _with_scheme(place: str) -> str:
    return place if "://" in place else f"https://{place}"


def remote_patience() -> float:
    """Seconds for which a fetch waits for one block where remotes fail in ways that pass, and nobody else has it."""
    seconds = setting("remote-patience", (int, float))
    if seconds is None or isinstance(seconds, bool) or not 0 <= seconds < 1e6:
        where = origin_of("remote-patience")
        raise ConfigError(f"stargazer.remote-patience is {seconds!r} ({where}), but must be a number of seconds")
    return float(seconds)


def catalog() -> list[str]:
    """Modules and files whose tasks and workflows the catalog has, beside what is installed."""
    found = setting("catalog", list) or []
    if not all(isinstance(each, str) and each for each in found):
        raise ConfigError(
            f"stargazer.catalog is {found!r} ({origin_of('catalog')}), but must be a list of modules and files"
        )
    return list(found)


def trust() -> dict[str, Any]:
    """Public keys by the names of those whose signed records are believed, as they are written in the settings."""
    return dict(setting("trust", dict) or {})


def revoked() -> dict[str, Any]:
    """Times from which on what keys signed counts as unsigned, by the keys, as they are written in the settings."""
    return dict(setting("revoked", dict) or {})


def accept() -> str:
    """Whose results may be hits in one's own store: ``"anyone"``, ``"signed"`` or ``"own"``."""
    chosen: str = setting("accept", str) or ACCEPT[0]
    if chosen not in ACCEPT:
        raise ConfigError(f"stargazer.accept is {chosen!r} ({origin_of('accept')}), but must be {' or '.join(ACCEPT)}")
    return chosen


def user_name() -> str:
    """Name of the user whose process this is, as the machine knows it and not as the environment says."""
    return _name_of(os.geteuid())


@functools.cache
def _name_of(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def notebook_setting(name: str) -> Any:
    """One of the settings of notebooks: ``live`` or ``largest``."""
    defaults = _defaults()["notebook"]
    chosen = {**defaults, **(setting("notebook", dict) or {})}
    value, kind = chosen[name], bool if isinstance(defaults[name], bool) else (str, int)
    if not isinstance(value, kind):
        raise ConfigError(
            f"stargazer.notebook.{name} is {value!r} ({origin_of('notebook')}), but is {defaults[name]!r}"
        )
    return value


def service_settings() -> dict[str, Any]:
    """The settings of the service, complete with defaults; what they mean is read by `stargazer.service`."""
    defaults = _defaults()["service"]
    given = setting("service", dict) or {}
    if unknown := sorted(set(given) - set(defaults)):
        raise ConfigError(
            f"stargazer.service has no {', '.join(unknown)} ({origin_of('service')}); it has {', '.join(defaults)}"
        )
    return {**defaults, **given}


def prompt_settings() -> dict[str, Any]:
    """How models are asked, complete with defaults: ``providers`` by name, and ``budget`` in seconds."""
    defaults = _defaults()["prompts"]
    found = {**defaults, **(setting("prompts", dict) or {})}
    where = f"stargazer.prompts ({origin_of('prompts')})"
    if unknown := sorted(set(found) - set(defaults)):
        raise ConfigError(f"{where} has no {', '.join(unknown)}; it has {', '.join(defaults)}")
    if not isinstance(found["providers"], dict) or not all(
        isinstance(each, dict) for each in found["providers"].values()
    ):
        raise ConfigError(f"{where}: providers are {{kind, url, key}} by name")
    if isinstance(found["budget"], bool) or not isinstance(found["budget"], (int, float)) or found["budget"] < 0:
        raise ConfigError(f"{where}: budget is a number of seconds, not {found['budget']!r}")
    return found


def mcp_setting(name: str) -> Any:
    """One of the settings of the MCP server: ``folders``, ``hosts``, ``verify`` or ``largest-upload``."""
    defaults = _defaults()["mcp"]
    value = {**defaults, **(setting("mcp", dict) or {})}[name]
    kinds: dict[str, tuple[type, ...]] = {"verify": (str,), "largest-upload": (str, int)}
    is_right = value is None or (isinstance(value, kinds.get(name, (list,))) and not isinstance(value, bool))
    if not is_right or (name not in kinds and not all(isinstance(each, str) and each for each in value or ())):
        raise ConfigError(f"stargazer.mcp.{name} is {value!r} ({origin_of('mcp')}), but is as {defaults[name]!r}")
    return value


def token_file() -> Path:
    """File that holds the token with which programs of this user reach a server over HTTP."""
    return key_file().with_name("mcp-token")


def key_file() -> Path:
    """File that holds the private key with which this user signs records."""
    configured: str | None = setting("key", str)
    if configured:
        return Path(configured).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("stargazer")) / "key.pem"


def secret(name: str) -> str | None:
    """A token or password: from the environment variable of that name and from nowhere else."""
    return os.environ.get(name, "").strip() or None


def secret_values() -> list[str]:
    """Values of all variables of the environment that nobody should read: no answer and no log has them."""
    return sorted({value.strip() for name, value in os.environ.items() if is_secret(name) and len(value.strip()) > 5})


def batch_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """Number of the job of a batch system that this process, or one of that environment, belongs to; or None."""
    array, index = (environment.get(name) for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"))
    if array and index:
        return f"{array}_{index}"
    names = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "OAR_JOB_ID", "JOB_ID")
    return next((value for name in names if (value := environment.get(name))), None)


def restarts() -> int:
    """How often SLURM has put the job of this process back into the queue, as it began."""
    told = os.environ.get("SLURM_RESTART_COUNT", "")
    return int(told) if told.isdigit() else 0


def allocated() -> dict[str, str] | None:
    """What SLURM says of the job of this process, or None: ``cpus`` by node; MiB of memory, by node or by processor."""
    if "SLURM_JOB_ID" not in os.environ:
        return None
    cpus = os.environ.get("SLURM_JOB_CPUS_PER_NODE") or os.environ.get("SLURM_CPUS_ON_NODE") or "1"
    memory, per_cpu = (os.environ.get(f"SLURM_MEM_PER_{each}", "") for each in ("NODE", "CPU"))
    return {"cpus": cpus, "memory": memory, "memory_per_cpu": per_cpu}


OF_COMMANDS = (
    "SBATCH_ARRAY_INX",
    "SBATCH_JOB_NAME",
    "SBATCH_OUTPUT",
    "SBATCH_ERROR",
    "SBATCH_TIMELIMIT",
    "SBATCH_WAIT",
)
FILTERS = ("SQUEUE_", "SCANCEL_", "SLURM_TIME_FORMAT")
"""Variables that stand above what our scripts and commands say: names, number, time of jobs, which are listed."""


OF_USER = ("SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS")
"""Variables that say where SLURM is; of all others, a job is told by SLURM what it has itself."""

OF_JOB = ("SLURM_", "SLURMD_", "SRUN_", "PMI_", "PMIX_")


def command_environment() -> dict[str, str]:
    """Environment for the commands of a batch system: the user's own, save what would make them do another thing.

    Within a job that is also what its batch system said of it: a job that it submits would take that for its own.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FILTERS)}
    if batch_job() is not None:
        kept = {name: value for name, value in kept.items() if name in OF_USER or not name.startswith(OF_JOB)}
    return {name: value for name, value in kept.items() if name not in OF_COMMANDS}


def user_environment(told: Mapping[str, str]) -> dict[str, str]:
    """Environment of this process with further variables, for a command that the user's own settings name."""
    return os.environ | told


def on_end() -> str | None:
    """Command that is run when a run of its own has ended."""
    command: str | None = setting("on-end", str)
    return command or None


def environment_class() -> type[os._Environ[str]]:
    """Class of the mapping in which bodies find variables of the environment."""
    return type(os.environ)


def variable(name: str) -> str | None:
    """Value of a variable of the environment that a body reads, or None where it is not set."""
    return os.environ.get(name)


def set_variable(name: str, value: str | None) -> None:
    """Put a variable of the environment back to what it was before a body changed it."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def is_secret(name: str) -> bool:
    """Whether a variable is named as one that nobody should read: it is in no key, and masked in logs."""
    return SECRET.search(name) is not None or name in _tokens()


def variables(names: Iterable[str]) -> dict[str, str | None]:
    """Values of environment variables that a task names, secrets aside; None for one that is not set."""
    return {name: os.environ.get(name) for name in sorted(set(names)) if not is_secret(name)}


def secrets(names: Iterable[str]) -> dict[str, str]:
    """Values of environment variables that nobody should read, those that are set here."""
    return {name: os.environ[name] for name in sorted(set(names)) if name in os.environ}


def environment(named: Mapping[str, str | None] | None = None, names: Iterable[str] = ()) -> dict[str, str]:
    """Environment for command-line tools: an allow-list, with a fixed locale and time zone.

    Parameters
    ----------
    named
        Variables with the values that they had where the call was made; None takes one away.
    names
        Further ones, with the values that they have here; those of the setting ``stargazer.env`` come as well.
    """
    wanted = {*names, *passed_names()}
    env = {name: value for name, value in os.environ.items() if name in wanted or _is_passed(name)}
    env |= FIXED | ({} if cram_references() else {"REF_PATH": NO_REFERENCES})
    given = {name: value for name, value in {**env, **(named or {})}.items() if value is not None}
    lists = {name: _absolute(given[name]) for name in SEARCHED if name in given}
    return {name: value for name, value in {**given, **lists}.items() if value or name not in SEARCHED}


def environment_inside(named: Mapping[str, str | None] | None = None, names: Iterable[str] = ()) -> dict[str, str]:
    """Environment for tools that do not run on the machine itself: nothing of where this machine has its things.

    Parameters
    ----------
    named, names
        As for `environment`.
    """
    asked = {*names, *passed_names(), *(named or {})}
    return {
        name: value
        for name, value in environment(named, names).items()
        if name in asked or name not in (*PASSED, *PLACES)
    }


HOMES = ("HOME", "USER", "LOGNAME", "SHELL", "TERM")
"""Variables that say who runs a tool, and nothing of where other programs are."""


def told_environment(names: Iterable[str] = ()) -> dict[str, str]:
    """What records tell of that environment: folders of other programs, and what settings passed; secrets masked."""
    asked = {*names, *passed_names()}
    env = environment(names=asked)
    return {name: MASK if is_secret(name) else env[name] for name in sorted({*PLACES, *asked}) if name in env}


MASK = "***"


def passed_names() -> tuple[str, ...]:
    """Environment variables that every tool gets besides those that all get."""
    found = setting("env", list) or []
    if not all(isinstance(name, str) and name for name in found):
        raise ConfigError(f"stargazer.env is {found!r} ({origin_of('env')}), but must be a list of names of variables")
    return tuple(found)


def cram_references() -> bool:
    """Whether tools may fetch the reference of a CRAM from where its header, or the user's environment, says."""
    return bool(setting("cram-references", bool))


def _tokens() -> frozenset[str]:
    tokens = (entry.get("token") for entry in remotes() if isinstance(entry, dict))
    return frozenset(str(token) for token in tokens if token)


def _is_passed(name: str) -> bool:
    if name in REFERENCES:
        return cram_references()
    return name in PASSED or name in PLACES or _is_of_machine(name)


def _is_of_machine(name: str) -> bool:
    return name.startswith(PASSED_KINDS) and not is_secret(name) and not LOADED.search(name)


def _absolute(folders: str) -> str:
    return os.pathsep.join(folder for folder in folders.split(os.pathsep) if os.path.isabs(folder))


def search_path() -> str:
    """Where command-line tools are looked for."""
    return os.environ.get("PATH", os.defpath)


def required_tools() -> frozenset[str]:
    """Tools whose absence is a failure instead of a reason to skip (``STARGAZER_REQUIRE_TOOLS=bwa,samtools``)."""
    return frozenset(filter(None, os.environ.get("STARGAZER_REQUIRE_TOOLS", "").split(",")))
