"""What the controller of xdist must know to hand out the work: it has collected nothing itself.

The first worker that has collected leaves it: which items are experiments that are to run, how
long each is expected to take and which shared fixtures it needs, and which are stored and only have
to be reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_memento import schedule
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.hits import is_hit
from pytest_memento.plugin.options import Cache, Options
from pytest_memento.plugin.outlook import expectations
from pytest_memento.plugin.reports import Ended, what_to_tell
from pytest_memento.plugin.shortcut import Sources, sources_of
from pytest_memento.presence import name_of, signs
from pytest_memento.schedule import Task

Location = tuple[str, int | None, str]


def runs(item: pytest.Item, options: Options) -> bool:
    """Whether an item is an experiment that is going to run, as far as is known now."""
    bound = item.stash.get(BOUND, None)
    if bound is None:
        return False
    if options.cache is Cache.ONLY:
        return bound.beside is not None
    if bound.where:
        return False
    return not (options.reads and is_hit(item, bound))


def tasks_of(items: Sequence[pytest.Item], options: Options) -> list[Task]:
    """Return the experiments among *items* that are to run, numbered by their place there."""
    bounds = {n: item.stash[BOUND] for n, item in enumerate(items) if runs(item, options)}
    expected = expectations(bound for item in items if (bound := item.stash.get(BOUND, None)))
    kinds: dict[str, int] = {}
    needs = _Needs()
    numbers = {bound.experiment.key: number for number, bound in bounds.items()}
    claimed = {sign.claim for sign in signs(options.store.root)}

    def risk_of(bound: Bound) -> int:
        """Say whether processes have died of it, or one runs it now; most if that is on record."""
        if bound.standing.is_deadly:
            return 2
        return int(bool(claimed) and name_of(options.store.claim(bound.experiment.key)) in claimed)

    return [
        Task(
            number,
            expected.get(bound),
            needs.of(items[number]),
            kinds.setdefault(bound.experiment.key.experiment, len(kinds)),
            risk=risk_of(bound),
            after=frozenset(
                numbers[each.key] for each in bound.experiment.inputs if each.key in numbers
            ),
        )
        for number, bound in bounds.items()
    ]


def in_turn(
    config: pytest.Config, items: Sequence[pytest.Item], tasks: Sequence[Task]
) -> list[pytest.Item]:
    """Return the items of a serial session as they come: other tests stay where they are."""
    order = schedule.in_turn(tasks, longest_first=not in_given_order(config, items))
    turns = dict(zip((task.number for task in tasks), order, strict=True))
    return [items[turns[n].number] if n in turns else item for n, item in enumerate(items)]


def in_given_order(config: pytest.Config, items: Sequence[pytest.Item]) -> bool:
    """Whether the user wants another order than ours: by an option as ``--ff``, or by marks."""
    options = ("failedfirst", "newfirst", "stepwise")
    if any(getattr(config.option, name, False) for name in options):
        return True
    # Of pytest-order and pytest-dependency.
    return any(mark.name in ("order", "dependency") for item in items for mark in item.own_markers)


class _Needs:
    """Numbers the fixtures that experiments share; their values are fixtures of their own."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, int | None], int] = {}

    def of(self, item: pytest.Item) -> frozenset[int]:
        numbers = self._numbers
        return frozenset(
            numbers.setdefault(fixture, len(numbers)) for fixture in private.wide_fixtures(item)
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do, by the places of the items in what all workers have collected.

    :param tasks: the experiments that are to run.
    :param hits: place -> location and what a report tells, of those that are stored.
    :param in_given_order: whether the longest need not come first.
    :param sources: the files of the project's modules, see ``shortcut``.
    """

    tasks: Sequence[Task]
    hits: Mapping[int, tuple[Location, Mapping[str, Any]]]
    in_given_order: bool
    sources: Sources

    @classmethod
    def of(
        cls, config: pytest.Config, items: Sequence[pytest.Item], options: Options
    ) -> Plan | None:
        """Make the plan of a session, ``None`` if it holds no experiment."""
        if not any(BOUND in item.stash for item in items):
            return None
        hits: dict[int, tuple[Location, Mapping[str, Any]]] = {}
        if options.reads:
            hits = {
                number: (item.location, what_to_tell(item.stash[BOUND], Ended.CACHED))
                for number, item in enumerate(items)
                if BOUND in item.stash and is_hit(item, item.stash[BOUND])
            }
        tasks = tasks_of(items, options)
        return cls(tasks, hits, in_given_order(config, items), sources_of(config.rootpath))

    def all_tasks(self, total: int) -> list[Task]:
        """Return the tasks for the workers: what is neither experiment nor stored is light."""
        known = {task.number for task in self.tasks} | self.hits.keys()
        light = [Task(number, is_light=True) for number in range(total) if number not in known]
        return [*light, *self.tasks]

    # -- as plain data -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return plain data, short where there are many."""
        needs: dict[frozenset[int], int] = {}
        tasks = [
            [
                *(t.number, t.expected, needs.setdefault(t.needs, len(needs)), t.kind, t.risk),
                *t.after,
            ]
            for t in self.tasks
        ]
        return {
            "tasks": tasks,
            "needs": [sorted(each) for each in needs],
            "hits": [[number, *hit] for number, hit in self.hits.items()],
            "in_given_order": self.in_given_order,
            "sources": dict(self.sources),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Read what :meth:`to_json` returned."""
        needs = [frozenset(each) for each in data["needs"]]
        tasks = [
            Task(number, seconds, needs[n], kind, risk=risk, after=frozenset(after))
            for number, seconds, n, kind, risk, *after in data["tasks"]
        ]
        hits = {number: (tuple(location), told) for number, location, told in data["hits"]}
        return cls(tasks, hits, data["in_given_order"], data["sources"])
