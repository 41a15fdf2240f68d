"""The part of a document that a hit shows."""

import re

LENGTH = 400  # characters
_LEAD = 80  # of them stand before the word that the query has
_TELLING = 4  # letters: shorter query words (the, of, is) would match at once and show nothing
_WORD = re.compile(r"\w+")


def snippet(text: str, query: str) -> str:
    """At most LENGTH characters of the text, cut between words, around the first word that the query has, too.

    Words of four letters and more count, or all if the query has none so long. Without a match it is the beginning.
    """
    if len(text) <= LENGTH:
        return text
    match = _first_match(text, query)
    start = 0 if match <= _LEAD else _word_start(text, match - _LEAD, match)
    head = "…" if start else ""
    room = LENGTH - len(head)
    if len(text) - start <= room:
        return head + text[start:]
    return head + _cut(text[start : start + room]) + "…"


def _first_match(text: str, query: str) -> int:
    """Where the first shared word starts; 0 without one."""
    words = {word.lower() for word in _WORD.findall(query)}
    telling = {word for word in words if len(word) >= _TELLING} or words
    return next((match.start() for match in _WORD.finditer(text) if match[0].lower() in telling), 0)


def _word_start(text: str, low: int, high: int) -> int:
    """The first start of a word in [low, high); low if there is none, as in languages without spaces."""
    space = re.compile(r"\s").search(text, low, high)
    return low if space is None else space.end()


def _cut(text: str) -> str:
    """The text without its last character and without the word that this breaks."""
    whole = text[:-1]
    if text[-1].isspace():
        return whole.rstrip()
    words = re.match(r"(?s)(.*\S)\s", whole)
    return whole if words is None else words[1]
