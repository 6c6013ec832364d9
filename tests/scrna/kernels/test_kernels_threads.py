"""Order and laziness of the results of threads, and the limit on BLAS."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from stargazer.bio.singlecell.kernels.threads import one_blas_thread, ordered_map


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_come_in_order_and_items_are_read_as_needed(threads):
    read = []

    def items():
        for i in range(20):
            read.append(i)
            yield i

    def work(i):
        time.sleep(0.002 * (i % 3))
        return i * i

    results = ordered_map(work, items(), threads)
    assert next(results) == 0
    assert len(read) <= threads + 1
    assert list(results) == [i * i for i in range(1, 20)]


def test_errors_come_through():
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda i: 1 // i, [1, 0, 2], 2))


def test_blas_is_kept_to_one_thread_until_the_last_user_leaves():
    np.ones((2, 2)) @ np.ones((2, 2))
    before, inside, leave = blas_threads(), threading.Event(), threading.Event()

    def other():
        with one_blas_thread():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with one_blas_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {1}, "the other is still at work"
    leave.set()
    thread.join()
    assert blas_threads() == before
