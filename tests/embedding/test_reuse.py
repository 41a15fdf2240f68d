"""Where vectors come from: runs worked out by hand, and against a dictionary that looks at one text after another."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mixstage.corpus.hashing import text_key
from mixstage.embedding.reuse import Sourcing, source


def keys_of(texts: str) -> pa.ChunkedArray:
    """A key for every letter."""
    return pa.chunked_array([pa.array([text_key(letter) for letter in texts], pa.binary(16))])


class Stored:
    """An earlier embedding: a text for every letter, shards as given."""

    def __init__(self, digest: str, *shards: str) -> None:
        self.digest, self.shards = digest, {f"vectors/part-{n:05d}.parquet": part for n, part in enumerate(shards)}

    def names(self, prefix: str, suffix: str) -> list[str]:
        return list(self.shards)

    def read_table(self, name: str, columns: list[str]) -> pa.Table:
        return pa.table({"key": keys_of(self.shards[name])})


def sourced(shards: Sequence[str], *earlier: Any) -> Sourcing:
    return source([keys_of(shard) for shard in shards], list(earlier))


def counts(sourcing: Sourcing) -> tuple[int, int, int, int]:
    return sourcing.embedded, sourcing.reused, sourcing.repeated, sourcing.removed


def test_without_an_earlier_embedding_all_texts_are_new() -> None:
    sourcing = sourced(["abc", "de"])
    assert sourcing.runs == [[(0, 3, -1, 0)], [(0, 2, -1, 0)]]
    assert counts(sourcing) == (5, 0, 0, 0)


def test_known_texts_are_copied_in_runs_of_neighbours() -> None:
    sourcing = sourced(["abXcd", "dca"], Stored("old", "abcd"))
    # of "abcd": a b lie at 0 and 1, X is new, c d at 2 and 3. Backwards nothing is a neighbour.
    assert sourcing.runs == [
        [(0, 2, 0, 0), (2, 1, -1, 0), (3, 2, 0, 2)],
        [(0, 1, 0, 3), (1, 1, 0, 2), (2, 1, 0, 0)],
    ]
    assert sourcing.files == [("old", "vectors/part-00000.parquet")]
    assert counts(sourcing) == (1, 7, 0, 0)


def test_a_run_ends_with_the_file_it_comes_from() -> None:
    sourcing = sourced(["abcd"], Stored("old", "ab", "cd"))
    assert sourcing.runs == [[(0, 2, 0, 0), (2, 2, 1, 0)]]
    assert sourcing.own(1) is None


def test_a_repeated_text_is_embedded_where_it_stands_first() -> None:
    sourcing = sourced(["abab", "cab"])
    # own files are numbered behind the earlier ones: here 0 and 1. In shard 0 the new texts a, b are 0 and 1.
    assert sourcing.runs == [[(0, 2, -1, 0), (2, 2, 0, 0)], [(0, 1, -1, 0), (1, 2, 0, 0)]]
    assert [sourcing.own(file) for file in (0, 1)] == [0, 1]
    assert counts(sourcing) == (3, 0, 4, 0)


def test_a_repetition_points_at_the_place_among_the_new_texts_of_its_shard() -> None:
    sourcing = sourced(["kXkY", "YX"], Stored("old", "k"))
    assert sourcing.runs == [
        [(0, 1, 0, 0), (1, 1, -1, 0), (2, 1, 0, 0), (3, 1, -1, 0)],
        [(0, 1, 1, 1), (1, 1, 1, 0)],  # file 1 is the own shard 0: its new texts are X, Y
    ]
    assert sourcing.own(1) == 0
    assert counts(sourcing) == (2, 2, 2, 0)


def test_of_two_earlier_embeddings_the_first_serves_and_the_nearest_says_what_is_gone() -> None:
    sourcing = sourced(["abc"], Stored("far", "axyz"), Stored("near", "abq"))
    assert sourcing.runs == [[(0, 1, 0, 0), (1, 1, 1, 1), (2, 1, -1, 0)]]
    assert counts(sourcing) == (1, 2, 0, 1)  # q; x, y, z belong to an embedding that shares less


def test_an_earlier_embedding_that_shares_nothing_lost_nothing() -> None:
    assert counts(sourced(["ab"], Stored("other", "xyz"))) == (2, 0, 0, 0)


def test_an_empty_shard_has_no_runs() -> None:
    sourcing = sourced(["", "a"], Stored("old", "", "b"))
    assert sourcing.runs == [[], [(0, 1, -1, 0)]]
    assert sourced([""]).runs == [[]]


TEXTS = st.text("abcdefgh", max_size=7)


def followed(sourcing: Sourcing, shards: Sequence[str], earlier: Sequence[Stored]) -> list[str]:
    """The texts that one gets by doing what the runs say."""
    stored = {(one.digest, name): part for one in earlier for name, part in one.shards.items()}
    new = [
        "".join(shards[n][row : row + count] for row, count, file, _ in runs if file == -1)
        for n, runs in enumerate(sourcing.runs)
    ]
    texts = []
    for shard, runs in zip(shards, sourcing.runs, strict=True):
        text = ""
        for row, count, file, start in runs:
            assert (row, count > 0) == (len(text), True), "runs cover the rows in order"
            own = sourcing.own(file)
            if file == -1:
                text += shard[row : row + count]
            else:
                text += (stored[sourcing.files[file]] if own is None else new[own])[start : start + count]
        texts.append(text)
    return texts


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(st.lists(TEXTS, max_size=3), max_size=3))
def test_whoever_follows_the_runs_gets_every_text_and_embeds_none_twice(
    shards: list[str], earlier: list[list[str]]
) -> None:
    stored = [Stored(f"e{n}", *parts) for n, parts in enumerate(earlier)]
    sourcing = sourced(shards, *stored)
    assert followed(sourcing, shards, stored) == shards
    known = {letter for parts in earlier for part in parts for letter in part}
    rows = "".join(shards)
    embedded = [
        letter
        for n, runs in enumerate(sourcing.runs)
        for row, count, file, _ in runs
        if file == -1
        for letter in shards[n][row : row + count]
    ]
    assert sorted(embedded) == sorted(set(rows) - known)
    reused = sum(letter in known for letter in rows)
    assert counts(sourcing)[:3] == (len(embedded), reused, len(rows) - reused - len(embedded))
    gone = [(len(set(rows) & set("".join(parts))), len(set("".join(parts)) - set(rows))) for parts in earlier]
    shared = max((kept for kept, _ in gone), default=0)
    assert sourcing.removed in {lost for kept, lost in gone if kept == shared} if shared else sourcing.removed == 0
