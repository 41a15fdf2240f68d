"""Which language a corpus is in, told from its script and its stop words: enough for BM25's setting, no more."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mixstage.plan.data import Language

_LISTS: dict[Language, str] = {  # names of bm25s's lists of stop words
    "danish": "DANISH",
    "dutch": "DUTCH",
    "english": "EN_PLUS",
    "french": "FRENCH",
    "german": "GERMAN",
    "italian": "ITALIAN",
    "norwegian": "NORWEGIAN",
    "portuguese": "PORTUGUESE",
    "russian": "RUSSIAN",
    "spanish": "SPANISH",
    "swedish": "SWEDISH",
    "turkish": "TURKISH",
}
_WORD = re.compile(r"[^\W\d_]+")
_ENOUGH = 0.15  # share of stop words below which a text is in none of these languages; running text has 0.3 to 0.5
_CLOSE = 0.8  # a second language with this share of the first one's stop words may be the right one
_CHINESE = 0.3  # share of Han characters among the letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A language, and what speaks for it."""

    language: Language
    reason: str


def guess_language(texts: Sequence[str]) -> Guess:
    """The language of most of the texts: by script, and between languages of one script by stop words."""
    scripts = Counter(_script(letter) for text in texts for letter in text if letter.isalpha())
    letters = sum(scripts.values())
    if not letters:
        return Guess(language="none", reason="there are no letters to tell a language by")
    script, count = scripts.most_common(1)[0]
    if scripts["CJK"] / letters >= _CHINESE and not scripts["HIRAGANA"] and not scripts["HANGUL"]:
        return Guess(language="chinese", reason=f"{scripts['CJK'] / letters:.0%} of the letters are Han characters")
    if script not in ("LATIN", "CYRILLIC"):
        name = script.capitalize()
        return Guess(
            language="none", reason=f"{count / letters:.0%} of the letters are {name}, which BM25 has no rules for"
        )
    return _by_stop_words(texts)


def _script(letter: str) -> str:
    """LATIN, CYRILLIC, CJK, HIRAGANA ...: the first word of a letter's Unicode name."""
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").partition(" ")[0]


def _by_stop_words(texts: Sequence[str]) -> Guess:
    from bm25s import stopwords

    words = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    total = max(1, sum(words.values()))
    lists = {language: set(getattr(stopwords, f"STOPWORDS_{name}")) for language, name in _LISTS.items()}
    shares = {
        language: sum(count for word, count in words.items() if word in known) / total
        for language, known in lists.items()
    }
    first, second = sorted(shares, key=lambda language: -shares[language])[:2]
    if shares[first] < _ENOUGH:
        share, nearest = f"{shares[first]:.0%}", first.capitalize()
        return Guess(language="none", reason=f"only {share} of the words are stop words of the nearest, {nearest}")
    reason = f"{shares[first]:.0%} of the words are {first.capitalize()} stop words"
    if shares[second] > _CLOSE * shares[first]:
        reason += f", {shares[second]:.0%} {second.capitalize()} ones: check it"
    return Guess(language=first, reason=reason)
