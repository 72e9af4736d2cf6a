"""``memento_gpus``: each worker of xdist is bound to GPUs of its own, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_memento.accelerators import VARIABLE, shares, visible


def wanted(config: pytest.Config) -> float:
    """Return how many GPUs each worker is to have, 0 if that is left alone.

    :raises pytest.UsageError: it is no number, or no whole one, or no part of one.
    """
    text = config.getini("memento_gpus").strip() or "0"
    try:
        each = float(text)
    except ValueError:
        each = -1.0
    if each and not (each >= 1 and each.is_integer()) and not 0 < each < 1:
        raise pytest.UsageError(
            "memento_gpus takes the number of GPUs for each worker, such as 1, or a fraction such"
            f" as 0.5, not {text!r}"
        )
    return each


def most_workers(config: pytest.Config) -> int | None:
    """Return for how many workers there are GPUs, ``None`` if that does not matter."""
    each = wanted(config)
    return len(shares(visible(), each)) or None if each else None


class Gpus:
    """Shares the GPUs out that this session may use.

    :param each: how many one worker has.
    """

    def __init__(self, each: float) -> None:
        self.each = each
        self.devices = visible()
        self.shares = shares(self.devices, each)

    def pytest_report_header(self) -> str | None:
        """Say where the setting is of no use."""
        return None if self.devices else f"memento_gpus = {self.each:g}, but no GPU is visible"

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """Bind the workers; one that takes the place of another gets what that one had.

        :raises pytest.UsageError: there are too few GPUs.
        """
        if not self.devices:
            return
        if len(specs) > len(self.shares):
            raise pytest.UsageError(
                f"memento_gpus = {self.each:g}: there are {len(specs)} workers, and GPUs for"
                f" {len(self.shares)} ({', '.join(self.devices)}): use -n {len(self.shares)}, -n"
                " auto, or a fraction such as memento_gpus = 0.5"
            )
        for spec, share in zip(specs, self.shares, strict=False):
            spec.env[VARIABLE] = share
