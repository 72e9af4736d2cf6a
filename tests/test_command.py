"""Command lines are kept without what looks like a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_memento.command import masked


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("pytest exp_a.py -n 2 -x", "pytest exp_a.py -n 2 -x"),
        # notification targets
        ("--memento-notify=slack://aaa/bbb", "--memento-notify=slack://***"),
        ("--memento-notify mailto://me:pw@example.org", "--memento-notify mailto://***"),
        ("--memento-notify ${TARGET} -x", "--memento-notify *** -x"),
        ("--memento-notify=command:curl", "--memento-notify=command:***"),
        ("--memento-notify=console", "--memento-notify=console"),
        ("-o addopts=--memento-notify=slack://aaa", "-o addopts=--memento-notify=***"),
        # addresses
        ("--db=mysql://me:p/w[@host/base", "--db=mysql://***@host/base"),
        ("https://me:pw@example.org/x", "https://***@example.org/x"),
        ("--url https://example.org/?token=abc&x=1", "--url https://example.org/?token=***"),
        ("me@example.org", "me@example.org"),
        ("https://hooks.slack.com/services/T0/B0/X", "https://hooks.slack.com/***"),
        ("--to https://discord.com/api/webhooks/1/abc", "--to https://discord.com/api/webhooks/***"),
        # names
        ("--wandb-key 0123", "--wandb-key ***"),
        ("--password=a=b --api-key=c", "--password=*** --api-key=***"),
        ("--password abc tests", "--password *** tests"),
        ("--password --verbose", "--password --verbose"),
        ("--no-token tests", "--no-token tests"),
        ("-o db_password=abc", "-o db_password=***"),
        ("HF_TOKEN=abc authToken=abc", "HF_TOKEN=*** authToken=***"),
        ("key=abc apikey=abc", "key=*** apikey=***"),
        ("AWS_SECRET_ACCESS_KEY=abc --user-auth=a:b", "AWS_SECRET_ACCESS_KEY=*** --user-auth=***"),
        # what only looks like it
        ("--tokenizer=bpe --max-tokens=512", "--tokenizer=bpe --max-tokens=512"),
        ("--sort-key=x --turkey=x", "--sort-key=x --turkey=x"),
        ("-k key --keyword=x --compass=1", "-k key --keyword=x --compass=1"),
        ("-o memento_key_packages=torch", "-o memento_key_packages=torch"),
        ("--memento-select=token=='a'", "--memento-select=token=='a'"),
        ("sub/exp_a.py::experiment[token=a-x=1]", "sub/exp_a.py::experiment[token=a-x=1]"),
        ("-- - = --=", "-- - = --="),
    ],
)  # fmt: skip
def test_what_is_masked(typed: str, kept: str) -> None:
    assert " ".join(masked(typed.split(" "))) == kept


def test_arguments_that_are_no_plain_text() -> None:
    assert masked([Path("a/b"), "\udcff"]) == ("a/b", "\\udcff")


@given(st.lists(st.text(max_size=20)))
def test_anything_can_be_masked_again(arguments: list[str]) -> None:
    once = masked(arguments)
    assert len(once) == len(arguments)
    assert masked(once) == once
