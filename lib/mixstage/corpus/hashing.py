"""How texts are compared: digests, keys, and whether two are the same words."""

import hashlib

_KEY_BYTES = 16  # of a sha256: enough for any corpus


def text_key(text: str) -> bytes:
    """16 bytes of the text's sha256: what is computed of a text is kept under it."""
    return hashlib.sha256(text.encode()).digest()[:_KEY_BYTES]


def text_hash(text: str) -> int:
    """64 bits of a sha256: an order that means nothing and never changes."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def words_key(text: str) -> str:
    """Equal for texts of the same words: gaps and case say nothing, neither between splits nor between users."""
    return " ".join(text.split()).casefold()


def sample_ids(ids: set[str], limit: int | None) -> list[str]:
    """The `limit` ids with the smallest sha256, in byte order: the same sample whatever else is in the set."""
    by_hash = sorted(ids, key=lambda value: hashlib.sha256(value.encode()).digest())
    return sorted(by_hash[:limit])
