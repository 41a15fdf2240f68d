"""Answers: names put back, counted by hand, and the sign test against published and independent figures."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import beta, binom

from mixstage.commands.judge import verdict
from mixstage.errors import InputError
from mixstage.judging.answers import CHOICES, Judged, Tally, read_answers
from mixstage.judging.ask import Page
from mixstage.pipeline import Pipeline


def tally(a: int, b: int, tie: int = 0, bad: int = 0) -> Tally:
    return Tally(a=a, b=b, tie=tie, bad=bad, identical=0, queries=a + b + tie + bad)


def test_the_sign_test_of_a_published_comparison() -> None:
    # 389 queries, 173 : 144 and 72 ties (arXiv 2602.00805): p = 0.116, as computed from the binomial by hand.
    found = tally(173, 144, 72)
    assert found.p == pytest.approx(min(1, 2 * binom.cdf(144, 317, 0.5)), rel=1e-12) == pytest.approx(0.116, abs=5e-4)
    assert (found.decided, found.answered) == (317, 389)


def test_small_p_values_are_counted_by_hand() -> None:
    assert tally(5, 0).p == 2 / 2**5
    assert tally(4, 1).p == 2 * (1 + 5) / 2**5
    assert tally(3, 3, 4).p == tally(0, 0, 4).p == 1.0


def test_the_interval_of_the_share_is_clopper_and_pearsons() -> None:
    share = tally(8, 2, 30).share(0.95)
    assert share == pytest.approx((0.8, beta.ppf(0.025, 8, 3), beta.ppf(0.975, 9, 2)), rel=1e-6)
    assert tally(0, 0, 3).share(0.95) is None


def test_questions_needed_follow_noether_and_have_the_power() -> None:
    # (1.959964 + 0.841621)^2 = 7.848880; over 4 x .25^2 = 31.4; two of three answers decide: 47.1
    assert tally(15, 5).questions_needed(0.95) == 32
    assert tally(15, 5, 6, 4).questions_needed(0.95) == 48
    assert tally(5, 15).questions_needed(0.95) == 32
    assert tally(5, 5, 2).questions_needed(0.95) is None
    needed = tally(60, 40).questions_needed(0.95)
    assert needed == 197
    fails = next(k for k in range(needed) if 2 * binom.cdf(k, needed, 0.5) >= 0.05)  # the exact test rejects below
    power = binom.cdf(fails - 1, needed, 0.4) + binom.sf(needed - fails, needed, 0.4)
    assert power == pytest.approx(0.8, abs=0.02)


def save(folder: Path, content: Any) -> Path:
    path = folder / "answers.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_names_are_put_back(pipeline: Pipeline, page: Page, tmp_path: Path) -> None:
    """The judge prefers a wherever counsel asks and b elsewhere, but for one tie and one question of no use."""
    questions = page.read_json("key.json")["questions"]
    wanted = ["a" if question["application"] == "counsel" else "b" for question in questions]
    choices = ["left" if q["left"] == side else "right" for q, side in zip(questions, wanted, strict=True)]
    first = next(i for i, side in enumerate(wanted) if side == "a")
    choices[first] = "tie"
    choices[7] = "bad"
    found = read_answers(pipeline.store, save(tmp_path, {"page": page.digest, "choices": choices}))
    a, b = 3 - (wanted[7] == "a"), 4 - (wanted[7] == "b")
    assert list(found.tallies) == ["all", "counsel", "drafting"]
    assert found.total == Tally(a=a, b=b, tie=1, bad=1, identical=2, queries=14)
    assert found.tallies["counsel"].b == 0 and found.tallies["drafting"].a == 0
    assert (found.left, found.asked) == (choices.count("left"), 8)


def test_answers_to_the_first_questions_count(pipeline: Pipeline, page: Page, tmp_path: Path) -> None:
    found = read_answers(pipeline.store, save(tmp_path, {"page": page.digest, "choices": ["left", "tie"]}))
    first = page.read_json("key.json")["questions"][0]["left"]
    assert (found.total.a, found.total.b, found.total.tie) == (int(first == "a"), int(first == "b"), 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "names no page"),
        ({"page": "PAGE"}, "has no list of choices"),
        ({"page": "0" * 24, "choices": []}, "answers page 000000000000000000000000, which is not in"),
        ({"page": "PAGE", "choices": ["left", "up"]}, "answer 2 is 'up': one of left, right, tie, bad"),
        ({"page": "PAGE", "choices": ["left"] * 9}, "has 9 answers to 8 questions"),
    ],
)
def test_files_that_no_page_saved_are_refused(
    pipeline: Pipeline, page: Page, tmp_path: Path, content: Any, message: str
) -> None:
    text = json.dumps(content).replace("PAGE", page.digest) if not isinstance(content, str) else content
    with pytest.raises(InputError) as refusal:
        read_answers(pipeline.store, save(tmp_path, text))
    assert message in str(refusal.value) and str(tmp_path) in str(refusal.value)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (tally(12, 2), "Preferred: x (p 0.0129, exact sign test)"),
        (tally(2, 12), "Preferred: y (p 0.0129, exact sign test)"),
        (
            tally(3, 1, 4),
            "No preference shown (p 0.6250, exact sign test); one of this strength takes about 63 questions",
        ),
        (tally(2, 2), "No preference shown (p 1.0000, exact sign test)"),
    ],
)
def test_the_verdict(found: Tally, sentence: str) -> None:
    assert verdict(Judged(a="x", b="y", asked=20, tallies={"all": found}, left=0), 0.95).startswith(sentence)


def test_a_judge_who_always_looks_left_is_noticed() -> None:
    assert Judged(a="x", b="y", asked=20, tallies={"all": tally(3, 3)}, left=6).side_p == 2 / 2**6
    assert CHOICES == ("left", "right", "tie", "bad")
