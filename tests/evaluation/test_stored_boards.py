"""Boards from the store: what is missing is said."""

from pathlib import Path

import pytest

from mixstage.commands.evaluate import boards_of
from mixstage.composition import Composition
from mixstage.errors import StoreError
from mixstage.store.store import Store
from tests.conftest import CorpusMaker
from tests.handmade import handmade

RERANKED = Composition.parse("bm25@6 > 0.25*reranker:refine@10")
BARE = Composition.parse("retriever:base@10 > none@10")


def test_a_board_holds_what_its_compositions_need_only(store: Store, make_corpus: CorpusMaker) -> None:
    board = boards_of(handmade(store, make_corpus), [BARE]).get("counsel", "dev").board
    assert list(board.ranks) == ["base"] and board.reranked == {}


def test_pair_scores_that_have_left_the_store_are_missed_where_they_are_needed(
    store: Store, make_corpus: CorpusMaker
) -> None:
    pipeline = handmade(store, make_corpus)
    for shard in Path(store.root, "pair-score/refined").iterdir():
        shard.unlink()
    boards_of(pipeline, [BARE]).get("counsel", "dev")
    with pytest.raises(StoreError, match="pair scores of counsel have left the store; delete its grid/ folder"):
        boards_of(pipeline, [RERANKED]).get("counsel", "dev")
