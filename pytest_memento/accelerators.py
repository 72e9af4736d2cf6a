"""Which GPUs this process may use, and how they are shared out among workers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    These are the ones in that variable, up to the first that is none (CUDA C++ Programming Guide,
    "CUDA Environment Variables"); where it is not set, all that NVIDIA's driver shows.

    :param root: where ``proc`` is mounted.
    :param environment: the environment variables.
    """
    if VARIABLE in environment:
        named: list[str] = []
        for name in environment[VARIABLE].split(","):
            if not name.strip() or name.strip().startswith("-"):
                break
            named.append(name.strip())
        return named
    try:
        found = list((root / "proc/driver/nvidia/gpus").iterdir())
    except OSError:
        return []
    return [str(number) for number in range(len(found))]


def shares(devices: Sequence[str], each: float) -> list[str]:
    """Share devices out: return what ``CUDA_VISIBLE_DEVICES`` is for each worker there is one for.

    >>> shares(["0", "1", "2", "3"], 2)
    ['0,1', '2,3']
    >>> shares(["4", "5"], 0.5)
    ['4', '5', '4', '5']

    :param devices: from :func:`visible`.
    :param each: devices for one worker; below 1, as many workers use one device.
    """
    if each < 1:
        return [*devices] * round(1 / each)
    size = int(each)
    return [
        ",".join(devices[start : start + size]) for start in range(0, len(devices) - size + 1, size)
    ]
