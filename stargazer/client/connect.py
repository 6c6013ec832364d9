"""A Dask client from one word: the name of a profile, or a scheduler's address."""

from __future__ import annotations

import ast
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.client.walls import HERE_ALONE, check_encrypted, dashboard_address, own_space, session_keys
from stargazer.errors import ConfigError
from stargazer.execute.spec import most
from stargazer.profiles.kinds import kind_of
from stargazer.profiles.profile import Offer, Profile, cores, offer_of, offers, resources_of
from stargazer.profiles.settings import find_profiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from distributed import Client

__all__ = ["at_address", "check_guard", "connect", "in_this_process", "no_client_of_executor", "on_this_machine"]

LOOKED_EVERY = 2.0
"""Seconds between two looks at whether all workers of this machine are there."""

GIVEN_UP_AFTER = "600 s"
"""Time in which a worker of this machine that died may come back; its nanny tells sooner that it cannot."""

CONNECTS_WITHIN = 3.0

LOST_WORKERS = 10
"""Times that a call may lose its worker. Machines are taken away; a call that ends each of ten is the cause itself."""


def connect(profile: str | Sequence[str] | None = None, **changes: Any) -> Client:
    """Return a Dask client on which calls run; it becomes the active one.

    Parameters
    ----------
    profile
        ``"threads"`` of this process, ``"local"`` for processes on this machine, ``"slurm"`` and other batch systems,
        a profile of your own, or the address of a scheduler (``"tcp://…"``, ``"tls://…"``). By default the one that
        the setting ``stargazer.profile`` names. Several of one batch system, as ``["slurm", "bigmem", "gpu"]``, are
        pools of workers side by side: each call goes to the smallest kind that can take it.
    **changes
        Options of the profile to replace: ``workers=4``, ``workers="0-10"``, ``cpus=2``, ``memory="8 GiB"``, …

    Raises
    ------
    ConfigError
        There is no such profile, an option is wrong, or the batch system refuses what it asks for.

    Examples
    --------
    >>> import stargazer as sg
    >>> from stargazer.tasks import samtools_faidx
    >>> index = samtools_faidx(sg.add("ref.fa", sg.Reference(build="b37")))
    >>> with sg.connect("threads", workers=2) as client:
    ...     sg.run(index).result().name
    'ref.fa.fai'
    """
    found = find_profiles(profile, **changes)
    with _patient_scheduler():
        client = _client(*found)
    if passed := tuple(dict.fromkeys(name for each in found for name in each.env)):
        from stargazer.client.plugins import Passes

        client.register_plugin(Passes(passed))
    from stargazer.relay.client import serve

    serve(client, found[0].store)
    return client


def _client(profile: Profile, *more: Profile) -> Client:
    """The client that a profile's kind makes of it, and what it was connected to noted."""
    kind = kind_of(profile.kind)
    if kind is None:
        raise ConfigError(f"no installed package offers the kind {profile.kind!r} of the profile {profile.name}")
    client: Client = kind.call("connect", profile, *more)
    if offer_of(client) is None:
        offers(client, Offer(profile, profile.resources))
    return client


def no_client_of_executor(profile: Profile) -> Client:
    """Refuse to run graphs on an executor."""
    told = f"the profile {profile.name} is an executor: it takes single tasks and cells, those with worker="
    raise ConfigError(f"{told}{profile.name!r} or `# @worker {profile.name}`, and no whole runs")


@contextlib.contextmanager
def _patient_scheduler() -> Iterator[None]:
    import dask.config
    import distributed  # noqa: F401 - its own defaults come first

    with dask.config.set({"distributed.scheduler.allowed-failures": LOST_WORKERS}):
        yield


def at_address(profile: Profile) -> Client:
    """Return a client of a scheduler that runs."""
    from distributed import Client

    _check_listens(profile.address or "")
    check_encrypted(str(profile.address))
    client = Client(profile.address, timeout=profile.patience)
    each = most(worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    offers(client, Offer(profile, each))
    return client


def _check_listens(address: str) -> None:
    """Tell at once that nobody listens at an address: Dask would try for as long as one may take to start."""
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(address)
    try:
        host, port = place.hostname, place.port
    except ValueError as error:
        raise ConfigError(f"{address} is no address of a scheduler: {error}") from None
    if place.scheme not in ("tcp", "tls") or not host or not port:
        return
    try:
        socket.create_connection((host, port), timeout=CONNECTS_WITHIN).close()
    except (ConnectionRefusedError, socket.gaierror) as error:
        raise ConfigError(
            f"no scheduler listens at {address} ({error.strerror}); is it started, and the address right?"
        ) from None
    except OSError:
        return  # slow networks are Dask's affair, which waits


def in_this_process(profile: Profile) -> Client:
    """Return a client whose worker is threads of this process."""
    from distributed import Client
    from distributed.system import MEMORY_LIMIT

    cpus = profile.cpus or cores()
    each = resources_of(cpus, profile.memory or MEMORY_LIMIT, profile.gpus, profile.names)
    client = Client(
        processes=False,
        protocol="inproc://",
        n_workers=1,
        threads_per_worker=cpus,
        memory_limit=0,
        resources=each,
        worker_dashboard_address=HERE_ALONE,
        **dashboard_address(profile),
    )
    offers(client, Offer(profile, each))
    return client


def on_this_machine(profile: Profile) -> Client:
    """Return a client whose workers are processes of this machine, which end with it."""
    from distributed.system import MEMORY_LIMIT

    check_guard()
    cpus = profile.cpus or 1
    workers = profile.workers.maximum if profile.workers else max(1, cores() // cpus)
    each = resources_of(cpus, profile.memory or MEMORY_LIMIT // workers, profile.gpus, profile.names)
    client = _with_keys(
        n_workers=workers,
        threads_per_worker=cpus,
        memory_limit=profile.memory or "auto",
        resources=each,
        worker_dashboard_address=HERE_ALONE,
        **dashboard_address(profile),
    )
    client.run(leave_telling_to_client)
    _keep_number(client)
    _close_at_once(client)
    offers(client, Offer(profile, each))
    return client


def _with_keys(**options: Any) -> Client:
    """Workers of this machine, and a client that ends them: other processes lack the keys to talk to either."""
    from distributed import LocalCluster

    from stargazer.client.plugins import OwningClient

    space = {"local_directory": own_space()}
    cluster = LocalCluster(protocol="tls://", security=session_keys(), **space, **options)
    try:
        return OwningClient(cluster)  # type: ignore[no-untyped-call]
    except BaseException:
        cluster.close()
        raise


def _keep_number(client: Client) -> None:
    """Start workers anew that have ended for good, and wait for those that take long to come back.

    Dask would end a worker that is not back after 15 s: in the moment in which it is, on a busy machine, and with the
    call that it was just given.
    """
    import dask.config
    from tornado.ioloop import PeriodicCallback

    cluster: Any = client.cluster
    note = cluster._update_worker_status

    def note_patiently(change: str, told: Any) -> None:
        with dask.config.set({"distributed.deploy.lost-worker-timeout": GIVEN_UP_AFTER}):
            note(change, told)

    async def look() -> None:
        if cluster.status.name != "running":
            looking.stop()
            return
        for name in [name for name, nanny in cluster.workers.items() if nanny.status.name in ("closed", "failed")]:
            del cluster.workers[name]
        if cluster.worker_spec.keys() - cluster.workers.keys():
            await cluster._correct_state()

    cluster._update_worker_status = note_patiently
    looking = PeriodicCallback(look, LOOKED_EVERY * 1000)
    cluster.loop.add_callback(looking.start)


def _close_at_once(client: Client) -> None:
    """Let a second Ctrl-C end the workers without a word: Dask would wait a minute for what it interrupted itself."""
    close: Any = client.close

    def close_or_kill(*args: Any, **kwargs: Any) -> Any:
        try:
            return close(*args, **kwargs)
        except KeyboardInterrupt:
            _kill_workers(client)
            raise

    client.close = close_or_kill  # type: ignore[method-assign]


def _kill_workers(client: Any) -> None:
    """Kill the workers, whose tools end with them, and leave nothing that anybody waits for at the end of Python."""
    import logging
    import os
    import signal

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    cluster = client.cluster
    client.status = "closed"
    client.close = _closed  # Python asks for it once more when it forgets the client
    cluster.shutdown_on_close = False
    for nanny in cluster.workers.values():
        process = getattr(getattr(nanny, "process", None), "process", None)
        if process is not None and process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _closed(*_: Any, **__: Any) -> None:
    """There is nothing left that could be closed."""


def leave_telling_to_client() -> None:
    """Keep workers from writing into the terminal what the run tells: failed calls, and a Ctrl-C that reaches all."""
    import logging
    import signal

    signal.signal(signal.SIGINT, lambda *_: None)
    logging.getLogger("distributed.worker.memory").setLevel(logging.WARNING)
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)


# Scripts that start processes without a main guard: each process would run the script again, and start processes.


ASKED = {"__name__", "current_process", "parent_process"}
"""Names by which a script asks whether it is the one that was started."""

ENDED = {"exit", "_exit", "quit"}


def check_guard() -> None:
    """Refuse to start processes from the body of a script that they would run again.

    Raises
    ------
    ConfigError
        Says what to write.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    frame = _frame_of(vars(main)) if main is not None and file else None
    if frame is None or frame.f_code.co_filename != file:
        return
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    if not _is_guarded(tree, frame.f_lineno):
        raise ConfigError(
            f"{Path(file).name}, line {frame.f_lineno}: processes on this machine run the script again as they start; "
            'put what starts them below `if __name__ == "__main__":`, or use sg.connect("threads")'
        )


def _frame_of(namespace: dict[str, object]) -> FrameType | None:
    """The frame of the script itself, if it runs now in this thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (frame.f_globals is namespace and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    return frame


def _is_guarded(tree: ast.Module, line: int) -> bool:
    """Whether a line stands below a question for the module's name, or behind one that ends the module."""
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _names(node.test) & ASKED]
    inside = any(node.lineno <= line <= (node.end_lineno or line) for node in asked)
    return inside or any((node.end_lineno or line) < line and _ends(node) for node in asked)


def _ends(node: ast.If) -> bool:
    return any(isinstance(part, ast.Raise) for part in ast.walk(node)) or bool(_names(node) & ENDED)


def _names(node: ast.AST) -> set[str]:
    """Names of variables and attributes in a piece of code."""
    parts = list(ast.walk(node))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return names | {part.attr for part in parts if isinstance(part, ast.Attribute)}
