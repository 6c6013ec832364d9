"""A kind of profiles: this machine's processors but a few, which are left to others."""

from stargazer.profiles.kinds import ProfileKind
from stargazer.profiles.profile import cores


def whole(value):
    if not isinstance(value, int) or value < 0:
        raise ValueError("a whole number")
    return value


def connect(profile):
    """Start threads in this process."""
    from distributed import Client

    threads = max(1, min(profile.cpus or cores(), cores() - profile.options.get("leave", 0)))
    pages = "127.0.0.1:0"  # Dask's dashboard is for this machine alone
    return Client(
        processes=False,
        n_workers=1,
        threads_per_worker=threads,
        resources=profile.resources,
        dashboard_address=profile.dashboard or pages,
        worker_dashboard_address=pages,
    )


SPARE = ProfileKind(connect, {"leave": whole})
