"""Languages are told by script and stop words; what can't be told is said to be unknown."""

import pytest

from mixstage.onboarding.language import guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The landlord has to return the deposit that was paid to him when the tenant leaves.", "english"),
        ("Der Vermieter hat die Kaution zurückzugeben, die ihm von dem Mieter gezahlt worden ist.", "german"),
        ("Le bailleur doit rendre au locataire la somme qui lui a été versée par ce dernier.", "french"),
        ("El arrendador tiene que devolver la fianza que le fue entregada por el arrendatario.", "spanish"),
        ("Арендодатель должен вернуть залог, который был ему передан, если он не имеет на это права.", "russian"),
        ("依法成立的合同，受法律保护。Article 465", "chinese"),
        ("賃貸人は敷金を返還しなければならない。", "none"),  # Japanese: kana beside Han characters
        ("임대인은 보증금을 반환하여야 한다.", "none"),
        ("Ο εκμισθωτής οφείλει να επιστρέψει την εγγύηση.", "none"),
        ("wynajmujący zwraca kaucję najemcy, który opuszcza lokal", "none"),  # Polish: no list of stop words
        ("12 34 (5)", "none"),
    ],
)
def test_a_language_is_told_by_its_script_and_its_stop_words(text: str, language: str) -> None:
    assert guess_language([text]).language == language


def test_the_reason_is_a_count() -> None:
    """Four of eight words are English stop words: the, of, the, is."""
    guess = guess_language(["the deposit of the tenant is returned late"])
    assert (guess.language, guess.reason) == ("english", "50% of the words are English stop words")
    assert guess_language(["Ελλάδα ab"]).reason.startswith("75% of the letters are Greek")
    assert guess_language([]).reason == "there are no letters to tell a language by"


def test_two_languages_that_are_alike_are_both_named() -> None:
    guess = guess_language(["en og på med i det for"])
    assert guess.language in ("danish", "norwegian") and guess.reason.endswith("ones: check it")
