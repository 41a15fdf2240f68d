"""Words: what BM25 counts, language by language."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final

from mixstage.errors import InputError
from mixstage.plan.data import Language

_HAN: Final = "々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN: Final = re.compile(rf"[{_HAN}]+|[^\W{_HAN}]+")  # of Han characters, or a word or number between them
_TURKISH_CASE: Final = str.maketrans("Iİ", "ıi")  # str.lower() makes two characters of the second, which cut the word


def words(texts: Sequence[str], language: Language) -> list[list[str]]:
    """(N,) texts -> their words in order, stemmed and without stop words where the language has such lists.

    Compatibility characters are unfolded (NFKC: fullwidth letters, ligatures, letters with their accents apart), but
    not for English. Raises InputError if the language's extra is not installed.
    """
    if language == "english":
        return _stemmed(texts, language)
    plain = [unicodedata.normalize("NFKC", text) for text in texts]
    match language:
        case "chinese":
            return _shared(_characters(text) for text in plain)
        case "chinese-jieba":
            cut = _jieba()
            return _shared((word for word in cut(text.lower()) if _RUN.match(word)) for text in plain)
        case "none":
            return _tokenized(plain, stopwords=None)
        case "turkish":
            return _stemmed([text.translate(_TURKISH_CASE) for text in plain], language)
        case _:
            return _stemmed(plain, language)


def _stemmed(texts: Sequence[str], language: str) -> list[list[str]]:
    import Stemmer

    return _tokenized(texts, stopwords=language, stemmer=Stemmer.Stemmer(language))


def _tokenized(texts: Sequence[str], **options: Any) -> list[list[str]]:
    """Words of two characters and more."""
    import bm25s

    tokens: list[list[str]] = bm25s.tokenize(list(texts), show_progress=False, return_ids=False, **options)
    return tokens


def _characters(text: str) -> Iterator[str]:
    """押金应 -> 押 金 应 押金 金应: characters and their pairs (pairs alone find less); words, numbers stay whole."""
    for run in _RUN.findall(text.lower()):
        if not re.match(f"[{_HAN}]", run):
            yield run
        else:
            yield from run
            yield from (run[i : i + 2] for i in range(len(run) - 1))


def _shared(documents: Iterable[Iterable[str]]) -> list[list[str]]:
    """Lists with one string object a word, not one an occurrence: 8 bytes instead of 80."""
    known: dict[str, str] = {}
    return [[known.setdefault(word, word) for word in document] for document in documents]


@cache
def _jieba() -> Callable[[str], list[str]]:
    """The segmenter, with its dictionary (a second to read) opened once per process."""
    try:
        jieba: Any = import_module("jieba")
    except ImportError:
        raise InputError(
            "language: chinese-jieba needs jieba, which is not installed: pip install 'mixstage[chinese]', or take "
            "language: chinese (characters and their pairs)"
        ) from None
    jieba.setLogLevel("WARNING")  # else it tells of its dictionary on stderr, in every worker
    cut: Callable[[str], list[str]] = jieba.Tokenizer().lcut_for_search  # long words and the words inside them
    return cut
