"""Words by hand in several languages; English against the call that older indexes were made with."""

import sys
from typing import get_args

import bm25s
import pytest
import Stemmer

from mixstage.errors import InputError
from mixstage.models import words as module
from mixstage.models.words import words
from mixstage.plan.data import Language

ENGLISH = ["The Deposits and LANDLORDS, repaired", "", "of the", "ﬁve cafe\u0301s § 12 a3 x", "naïve ﬂats"]


def test_english_has_the_words_it_always_had() -> None:
    stemmer = Stemmer.Stemmer("english")
    before = bm25s.tokenize(ENGLISH, stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)
    assert words(ENGLISH, "english") == before
    assert before[:3] == [["deposit", "landlord", "repair"], [], []]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("german", "Die Kautionen der Mieter und den Mietern", ["kaution", "miet", "miet"]),
        ("french", "Les locataires et le locataire", ["locatair", "locatair"]),
        ("spanish", "Los contratos y el contrato", ["contrat", "contrat"]),
        ("italian", "I contratti e il contratto", ["contratt", "contratt"]),
        ("dutch", "De huurders en de huurder", ["huur", "huur"]),
        ("portuguese", "Os contratos e o contrato", ["contrat", "contrat"]),
        ("swedish", "Hyresgästen och hyresgäster", ["hyresgäst", "hyresgäst"]),
        ("danish", "Lejeren og lejere", ["lej", "lej"]),
        ("norwegian", "Leieren og leiere", ["leier", "leier"]),
        ("russian", "Договоры и договора", ["договор", "договор"]),
        ("turkish", "SINIRLAR ve EVLERİ sınır", ["sınır", "ev", "sınır"]),
    ],
)
def test_endings_and_stop_words_fall_away(language: Language, text: str, expected: list[str]) -> None:
    assert words([text], language) == [expected]


def test_letters_with_their_accents_apart_are_the_same_words() -> None:
    assert words(["ré\u0301ponse", "re\u0301sume\u0301"], "french")[1] == words(["résumé"], "french")[0] != []


def test_no_language_means_words_as_they_stand() -> None:
    assert words(["The Mietern, x ＡＢＣ", ""], "none") == [["the", "mietern", "abc"], []]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("押金应退还", ["押", "金", "应", "退", "还", "押金", "金应", "应退", "退还"]),
        ("租，押金。", ["租", "押", "金", "押金"]),  # punctuation parts runs
        ("第12条GDPR规定", ["第", "12", "条", "gdpr", "规", "定", "规定"]),
        ("ＧＤＰＲ第１２条（押金）", ["gdpr", "第", "12", "条", "押", "金", "押金"]),  # fullwidth
        ("二〇二〇年", ["二", "〇", "二", "〇", "年", "二〇", "〇二", "二〇", "〇年"]),
        ("𠮷野家", ["𠮷", "野", "家", "𠮷野", "野家"]),  # beyond 16 bits
        ("", []),
        ("。！ \n", []),
    ],
)
def test_chinese_is_characters_and_pairs_of_neighbours(text: str, expected: list[str]) -> None:
    assert words([text], "chinese") == [expected]


def test_jieba_gives_words_and_those_inside_them_without_punctuation() -> None:
    pytest.importorskip("jieba", reason="the extra mixstage[chinese] is not installed")
    assert words(["中华人民共和国。"], "chinese-jieba") == [
        ["中华", "华人", "人民", "共和", "共和国", "中华人民共和国"]
    ]  # fmt: skip
    assert words(["租赁合同，Ａ类押金。", ""], "chinese-jieba") == [["租赁", "合同", "a", "类", "押金"], []]


def test_jieba_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jieba", None)  # import then fails, as if it were not there
    module._jieba.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'mixstage\[chinese\]'"):
        words(["押金"], "chinese-jieba")


@pytest.mark.parametrize("language", sorted(set(get_args(Language)) - {"chinese-jieba"}))
def test_every_language_takes_texts_without_words(language: Language) -> None:
    assert words([], language) == []
    assert words(["", " ?! "], language) == [[], []]
