"""Slurm: arrays of tasks that claim experiments, or workers of xdist through srun.

asking      what the user asked for, and what this process is for it
watching    submits what is missing, or attaches, and reports what tasks do as if it ran here
task        a session that is a task: runs what was submitted, leaves reports, makes room in time
remote      workers of xdist inside an allocation
"""

from __future__ import annotations

import os

import pytest

from pytest_memento.plugin.slurm.asking import ASKED, ORDER, Mode, is_remote, order_of, read
from pytest_memento.slurm.script import TASK


def prepare(config: pytest.Config) -> int | None:
    """Decide what this process is for, before any other plugin looks at the options.

    :return: the exit code of the session that has run in an allocation of its own, if there was
        need for one.
    :raises pytest.UsageError: options do not go together.
    """
    option = config.option
    is_worker = hasattr(config, "workerinput")
    # Not for what is started from here: a session in an experiment is none of our tasks.
    text = os.environ.pop(TASK, "")
    if (order := order_of(config, text)) is not None:
        config.stash[ORDER] = order
        _obey(option, is_worker=is_worker)
        return None
    if is_worker:
        if is_remote(config):  # each node may have a /tmp
            option.basetemp = None
        return None
    if option.help or option.version or (asked := read(config)) is None or option.collectonly:
        return None
    from pytest_memento.plugin.slurm import remote  # most sessions have no need of it
    from pytest_memento.slurm.cluster import allocation

    config.stash[ASKED] = asked
    if asked.mode is Mode.ARRAY:
        option.numprocesses, option.tx, option.dist, option.distload = None, [], "no", False
    elif allocation() is None:
        return remote.in_allocation(config, asked)
    else:
        remote.use_allocation(config, asked)
    return None


def _obey(option: object, *, is_worker: bool) -> None:
    """Have a task run what was submitted, whatever the same options would choose by now."""
    settings: dict[str, object] = {
        "basetemp": None,  # tasks would remove each other's
        "lf": False, "failedfirst": False, "newfirst": False, "stepwise": False,
        "memento_select": None,
        "memento_accept": None, "memento_limit": None, "memento_slurm": None, "xmlpath": None,
        "memento_report": [],
    }  # fmt: skip
    # A worker that dies is replaced, so that one experiment does not take the task with it.
    if not is_worker and getattr(option, "numprocesses", 0) is None:
        settings |= {"numprocesses": 1, "tx": ["popen"], "dist": "load"}
    for name, value in settings.items():
        if hasattr(option, name):
            setattr(option, name, value)
