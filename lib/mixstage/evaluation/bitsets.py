"""Sets of a query's columns as bits, 64 to a word: who stands above a judged document, and who is a candidate.

The rank of a judged document under a reranker is one more than the number of candidates that the reranker puts above
it: the bits of an and. Who stands above whom does not depend on retriever and depth, nor the candidates on the
reranker, so a grid of R x K x D compositions packs R x D + K sets and counts bits for the rest.
"""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]


def pack(mask: NDArray[np.bool_]) -> Bits:
    """(..., U) bool -> (..., W) uint64, W = ceil(U / 64); the order of bits is the same for every mask of a width."""
    octets = np.packbits(mask, axis=-1)
    padding = [(0, 0)] * (octets.ndim - 1) + [(0, -octets.shape[-1] % 8)]
    return np.pad(octets, padding).view(np.uint64)


def pack_better(keys: NDArray[np.uint64], judged: NDArray[np.integer]) -> Bits:
    """(Q, J, W): for each judged document the columns with a greater key.

    keys: (Q, U), see `rank_keys`. judged: (Q, J) columns, -1 where the document has none, whose bits are undefined.
    Packs one judged column at a time: takes Q x U bytes beyond inputs and output.
    """
    rows = np.arange(len(keys))
    better = np.zeros((*judged.shape, -(-keys.shape[1] // 64)), dtype=np.uint64)
    if better.size:
        for slot, column in enumerate(judged.T):
            better[:, slot] = pack(keys > keys[rows, column][:, None])
    return better


def count(bits: Bits) -> NDArray[np.int32]:
    """(..., W) -> (...): the number of columns in each set."""
    total = np.zeros(bits.shape[:-1], dtype=np.int32)
    for word in range(bits.shape[-1]):  # few words: faster than a sum over so short an axis
        total += np.bitwise_count(bits[..., word])
    return total
