"""What a run cost: clock, processor, and the memory of this run alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pytest_memento.measure import Measured, measuring

MB = 1_000_000
BUSY = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass"


def busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_clock() -> None:
    before = time.time()
    with measuring() as measured:
        time.sleep(0.1)
    assert before <= measured.started <= time.time()
    assert 0.09 < measured.runtime < 10
    assert measured.cpu_time < 0.09


def test_processor_time_of_this_process() -> None:
    with measuring() as measured:
        busy(0.1)
    assert 0.09 < measured.cpu_time <= measured.runtime + 0.05


def test_processor_time_of_threads() -> None:
    with measuring() as measured:
        thread = threading.Thread(target=busy, args=[0.1])
        thread.start()
        thread.join()
    assert measured.cpu_time > 0.09


def test_processor_time_of_child_processes() -> None:
    with measuring() as measured:
        subprocess.run([sys.executable, "-c", BUSY.format(0.2)], check=True)
    assert measured.cpu_time >= 0.15  # children are counted in ticks


def test_the_cost_of_what_raises_is_measured_too() -> None:
    def fail() -> None:
        busy(0.02)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), measuring() as measured:
        fail()
    assert measured.runtime > 0.01  # the two clocks differ by some microseconds
    assert measured.cpu_time > 0.01


def run(size: int) -> Measured:
    with measuring() as measured:
        np.ones(size, dtype=np.uint8)
    return measured


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_the_memory_is_that_of_each_run() -> None:
    run(1)  # the first allocations of numpy are not what is looked at
    small, large, again = run(1).memory, run(200 * MB).memory, run(1).memory
    assert small is not None
    assert large is not None
    assert again is not None
    assert large >= small + 190 * MB
    assert again <= large - 150 * MB


def test_memory_is_in_bytes() -> None:
    assert (run(1).memory or 0) > 5 * MB
