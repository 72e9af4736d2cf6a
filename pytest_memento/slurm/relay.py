"""A program between xdist and srun(1): keeps from xdist what is printed before its worker begins.

    python relay.py srun ... python -u -c ...

A worker speaks to xdist over its standard output. What prologs of the cluster and setup lines of
the user print there comes before, and would be taken for what the worker says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

SETUP = "MEMENTO_SLURM_SETUP"
"""The variable that holds the lines of shell to run first."""
_MARK = b"memento: from here on the worker speaks"
_SHELL = f'eval "${SETUP}"; echo "{_MARK.decode()}"; exec "$@"'
_PIECE = 65536


def main(arguments: Sequence[str]) -> int:
    """Run a command, and pass its output on from where the worker speaks; the rest is for people.

    :param arguments: of srun, up to ``--``; behind it what runs on the node.
    :return: its exit code.
    """
    behind = list(arguments).index("--")
    command = [*arguments[:behind], "sh", "-c", _SHELL, "sh", *arguments[behind + 1 :]]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            before, mark, _ = line.partition(_MARK)
            os.write(sys.stderr.fileno(), before)
            if mark:
                break
        while piece := process.stdout.read1(_PIECE):  # type: ignore[attr-defined]
            _write(piece)
    return process.returncode


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
