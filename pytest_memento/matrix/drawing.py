"""From a :class:`Plan` to its rows: the product, a sample of it, what is excluded."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_memento.errors import MatrixError
from pytest_memento.fingerprint import Digest, digest_value
from pytest_memento.matrix.plan import Axis, Option, Plan, Row, Rule
from pytest_memento.matrix.words import said

MOST_REJECTED = 100_000
"""How many drawn combinations ``exclude`` may reject before ``sample`` gives up."""


def draw(plan: Plan) -> tuple[list[Row], int, list[str]]:
    """Return the rows of a plan, how many were excluded, and remarks."""
    judge = _Judge(plan.rules)
    rows = list(_sampled(plan, judge) if plan.sample else _product(plan, judge))
    seen = {row.digest for row in rows} if plan.sample else set()
    for option in plan.included:
        row = Row.of(plan, (option,))
        # A sample may have drawn by chance what is included on purpose: once is enough.
        if row.digest not in seen:
            rows.append(row)
    if plan.repeats is not None:
        rows = [_repeat(row, number) for row in rows for number in range(plan.repeats)]
    return rows, judge.dropped, judge.remarks(plan)


def _product(plan: Plan, judge: _Judge) -> Iterator[Row]:
    if plan.axes:
        for options in itertools.product(*(axis.options for axis in plan.axes)):
            row = Row.of(plan, options)
            if not judge.drops(row):
                yield row


def _sampled(plan: Plan, judge: _Judge) -> list[Row]:
    """Draw without replacement and without building the product.

    The order of drawing is a Fisher-Yates shuffle (Durstenfeld 1964) whose untouched positions
    are not stored, so a larger ``n`` keeps what a smaller one drew. The rows come in matrix order.
    """
    assert plan.sample is not None
    n, seed = plan.sample
    taken: dict[int, Row] = {}
    rejected = 0
    for position in _shuffled(plan.combinations, seed):
        row = Row.of(plan, tuple(_choices_at(position, plan.axes)))
        if judge.drops(row):
            rejected += 1
        else:
            taken[position] = row
        if len(taken) == n:
            break
        if rejected >= MOST_REJECTED:
            raise MatrixError(
                f"{plan.place}'sample' found {len(taken)} of {n} configurations in"
                f" {rejected + len(taken):,} draws: 'exclude' drops almost everything"
            )
    return [taken[position] for position in sorted(taken)]


def _shuffled(total: int, seed: int) -> Iterator[int]:
    rng = random.Random(seed)
    moved: dict[int, int] = {}
    for position in range(total):
        other = rng.randrange(position, total)
        yield moved.get(other, other)
        moved[other] = moved.pop(position, position)


def _choices_at(position: int, axes: Sequence[Axis]) -> list[Option]:
    options = []
    for axis in reversed(axes):
        position, digit = divmod(position, len(axis.options))
        options.append(axis.options[digit])
    return options[::-1]


def _repeat(row: Row, number: int) -> Row:
    option = Option(("repeat",), (number,), (digest_value(number),))
    return Row.of(row.plan, (*row.options, option))


class _Judge:
    """Applies the rules of ``exclude`` and remembers which ever matched."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.matched: set[str] = set()
        self.dropped = 0

    def drops(self, row: Row) -> bool:
        if not self.rules:
            return False
        digests = row.digests
        matching = [rule for rule in self.rules if matches(rule, row, digests)]
        self.matched.update(rule.place for rule in matching)
        self.dropped += bool(matching)
        return bool(matching)

    def remarks(self, plan: Plan) -> list[str]:
        idle = [rule for rule in self.rules if rule.place not in self.matched]
        if plan.sample:  # not every combination was looked at
            idle = [rule for rule in idle if rule.ask is None and not _can_match(rule, plan)]
        return [f"{plan.place}{rule.place} matches no configuration" for rule in idle]


def matches(rule: Rule, row: Row, digests: Mapping[str, Digest]) -> bool:
    """Tell whether a rule is about a row.

    :param digests: those of the row.
    :raises MatrixError: the user's function raises.
    """
    if rule.ask is None:
        return all(digests.get(name) in allowed for name, allowed in rule.allowed.items())
    try:
        return bool(rule.ask(row.seen()))
    except Exception as error:
        raise MatrixError(
            f"{row.plan.place}{rule.place} raised {said(error)} (for {row.text()})"
        ) from error


def _can_match(rule: Rule, plan: Plan) -> bool:
    return all(
        not axis.is_small
        or any(option.digests[axis.names.index(name)] in allowed for option in axis.options)
        for name, allowed in rule.allowed.items()
        for axis in plan.axes
        if name in axis.names
    )


def refuse_duplicates(rows: Iterable[Row]) -> None:
    """Raise a :class:`MatrixError` if two rows are the same configuration."""
    seen: dict[tuple[Digest, Digest], Row] = {}
    for row in rows:
        before = seen.setdefault(row.fingerprint, row)
        if before is not row:
            where = " and ".join(r.plan.place.rstrip(": ") or "the matrix" for r in (before, row))
            raise MatrixError(
                f"the configuration {row.text()} is there twice"
                + (f" (in {where})" if row.plan.place else "")
                + ": remove one, or use 'repeats'"
            )
