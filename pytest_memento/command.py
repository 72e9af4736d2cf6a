"""A command line as it may be kept: without what looks like a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MASK = "***"
_TARGET = "--memento-notify"
"""Takes addresses that hold passwords and tokens anywhere."""
_USER = re.compile(r"(?<=://)\S*@")
_WEBHOOK = re.compile(r"(\w+://[^/\s]*(?:hook|/[^\s]*hook)[^/\s]*/)\S+", re.IGNORECASE)
"""An address that is a secret by itself, as those of Slack and Discord are."""
_ASSIGNED = re.compile(r"([\w.-]+)=(?!=)")
_ALWAYS = ("password", "passwd", "passphrase", "secret")
_AT_THE_END = {"auth", "authorization", "credential", "credentials", "pass", "pwd", "token"}
_HARMLESS_KEYS = {"foreign", "group", "index", "primary", "sort", "turn"}
"""What precedes ``key`` where it is none that opens something."""


def masked(arguments: Iterable[object]) -> tuple[str, ...]:
    """Return arguments with secrets replaced by ``***``, better one too many than one too few.

    Masked are targets of ``--memento-notify`` behind their scheme, what stands before an ``@`` in
    an address, the rest of the address of a webhook, and the values of options and assignments that
    are called like a secret, to the end of the argument.

    >>> masked(["--api-token=1234", "--db", "mysql://me:pw@host/x", "--tokenizer=bpe"])
    ('--api-token=***', '--db', 'mysql://***@host/x', '--tokenizer=bpe')

    :param arguments: strings or paths; what cannot be encoded in them is escaped.
    """
    texts = [str(each).encode(errors="backslashreplace").decode() for each in arguments]
    return tuple(_masked(texts))


def _masked(texts: list[str]) -> Iterator[str]:
    for before, text in zip(["", *texts], texts, strict=False):
        if before == _TARGET:
            yield _target(text)
        elif _is_option(before) and _is_secret(before) and not _is_option(text):
            yield MASK
        elif text.startswith(f"{_TARGET}="):
            yield f"{_TARGET}={_target(text.partition('=')[2])}"
        else:
            yield _argument(text)


def _target(text: str) -> str:
    """Mask a target: ``slack://***``, ``command:***``; ``console`` has nothing to hide."""
    found = re.match(r"[\w+.-]+:(//)?", text)
    if found:
        return found[0] + MASK
    return text if text.isalpha() else MASK


def _argument(text: str) -> str:
    text = _WEBHOOK.sub(rf"\1{MASK}", _USER.sub(f"{MASK}@", text))
    if re.match(r"[^=]*\.py::", text):  # the id of a test: a parameter may be called token
        return text
    for found in _ASSIGNED.finditer(text):
        if _is_secret(found[1]):
            return text[: found.end()] + MASK
    return text


def _is_option(text: str) -> bool:
    return text.startswith("-") and "=" not in text and not text.startswith("--no-")


def _is_secret(name: str) -> bool:
    """Whether something is called like a secret: by its last word, mostly."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    joined = "".join(words)
    if joined == "mementonotify" or any(part in joined for part in _ALWAYS):
        return True
    if not words:
        return False
    is_key = joined == "key" or (words[-1] == "key" and words[-2] not in _HARMLESS_KEYS)
    return is_key or words[-1] in _AT_THE_END or joined.endswith("apikey")
