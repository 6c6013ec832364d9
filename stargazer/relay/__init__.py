"""A store for workers that do not see it: bytes and look-ups go through the connections that a Dask client has anyway.

The *home* is the process that sees the store: the scheduler's, or else the client's, which the scheduler passes
workers on to. A worker asks it by a *line*, keeps what it got in a cache of its own, and checks all of it.
"""
