"""Collections: byte ranges that cover a file give every line once; gzip changes nothing; folders that are none."""

import gzip
import json
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import shard_ranges
from mixstage.errors import InputError

# Lines of one to four-byte characters, empty ones, ones with \r; the last one with or without a newline.
LINES = st.lists(st.text(alphabet="ab é\r第😀", max_size=6), max_size=12)
ENDS = st.booleans()
CUTS = st.lists(st.integers(0, 10_000), max_size=6)


def content_of(lines: list[str], ended: bool) -> bytes:
    return "\n".join(lines).encode() + b"\n" * (ended and bool(lines))


def expected_of(content: bytes) -> list[tuple[int, bytes]]:
    """(offset, line) by the definition: what stands between newlines; nothing after the last one."""
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    return list(zip(offsets, lines, strict=False))


def edges_of(size: int, cuts: list[int]) -> list[int]:
    return sorted({0, size, *(cut % (size + 1) for cut in cuts)})


def read_in_pieces(folder: Path, edges: list[int]) -> list[tuple[int, bytes]]:
    collection = Collection.open(str(folder))
    pieces = [collection.read_lines("corpus.jsonl", start, stop) for start, stop in pairwise(edges)]
    return [line for piece in pieces for line in piece]


@given(LINES, ENDS, CUTS)
@example(["abc"], True, [1, 2, 3])  # a line that spans several ranges
@example(["abc", "def"], False, [4, 5])  # the last line spans ranges and has no newline
@example(["", "", ""], True, [1, 2])
def test_any_cut_of_a_file_yields_every_line_exactly_once_with_its_offset(
    lines: list[str], ended: bool, cuts: list[int]
) -> None:
    content = content_of(lines, ended)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "corpus.jsonl").write_bytes(content)
        assert read_in_pieces(Path(folder), edges_of(len(content), cuts)) == expected_of(content)


@given(LINES, ENDS, CUTS)
@example(["abc"], False, [1])
@example(["abc", "def"], False, [6])
def test_a_packed_file_gives_the_same_lines_at_the_same_offsets(lines: list[str], ended: bool, cuts: list[int]) -> None:
    content = content_of(lines, ended)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "corpus.jsonl.gz").write_bytes(gzip.compress(content))
        assert Collection.open(folder).size("corpus.jsonl") == len(content)
        assert read_in_pieces(Path(folder), edges_of(len(content), cuts)) == expected_of(content)


@given(st.integers(0, 10**9), st.integers(1, 10**7))
def test_shards_cover_a_file_without_gap_or_overlap_and_are_about_as_large_as_asked(size: int, shard: int) -> None:
    ranges = shard_ranges(min(size, 1000 * shard), shard)
    size = ranges[-1]["stop"]
    edges = [0, *(item["stop"] for item in ranges)]
    assert [item["start"] for item in ranges] == edges[:-1]
    assert edges == sorted(edges)
    assert [item["name"] for item in ranges] == sorted(item["name"] for item in ranges)
    assert all(edge - before <= 1.5 * shard + 1 for before, edge in pairwise(edges))


def test_lines_longer_than_a_read_come_whole(tmp_path: Path) -> None:
    lines = [bytes([65 + i]) * 100_000 for i in range(4)]  # reads go on in steps of 65,536 bytes
    (tmp_path / "corpus.jsonl").write_bytes(b"\n".join(lines))
    pieces = read_in_pieces(tmp_path, [0, 10, 100_005, 250_000, 400_003])
    assert [line for _, line in pieces] == lines
    assert [offset for offset, _ in pieces] == [0, 100_001, 200_002, 300_003]


def test_packing_a_file_changes_neither_digest_nor_content(tmp_path: Path) -> None:
    content = json.dumps({"_id": "é"}).encode() + b"\n"
    for name in ("plain", "packed"):
        (tmp_path / name).mkdir()
    (tmp_path / "plain/queries.jsonl").write_bytes(content)
    (tmp_path / "packed/queries.jsonl.gz").write_bytes(gzip.compress(content))
    plain, packed = (Collection.open(str(tmp_path / name)) for name in ("plain", "packed"))
    assert plain.read("queries.jsonl") == packed.read("queries.jsonl") == content
    assert plain.sha256("queries.jsonl") == packed.sha256("queries.jsonl")


def test_a_line_number_is_counted_from_one(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_bytes("a\n\né\nlast".encode())  # lines start at bytes 0, 2, 3, 6
    collection = Collection.open(str(tmp_path))
    assert [collection.line_number("corpus.jsonl", offset) for offset in (0, 2, 3, 6)] == [1, 2, 3, 4]


def test_a_missing_file_is_refused_with_what_the_folder_should_hold(tmp_path: Path) -> None:
    collection = Collection.open(str(tmp_path))
    assert not collection.has("corpus.jsonl")
    with pytest.raises(InputError, match=r"has no corpus\.jsonl: a BEIR folder holds"):
        collection.read("corpus.jsonl")


def test_a_path_that_is_no_folder_is_refused_with_the_layout(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("gone", "file"):
        with pytest.raises(InputError, match=f"{name} is not a folder: give one in BEIR layout"):
            Collection.open(str(tmp_path / name))


def test_a_damaged_gzip_file_is_refused_with_its_name(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b'{"_id": "a"}\n' * 1000))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "corpus.jsonl.gz").write_bytes(packed)
    with pytest.raises(InputError, match=r"corpus\.jsonl can't be read"):
        Collection.open(str(tmp_path)).read("corpus.jsonl")


def test_a_folder_is_the_same_collection_by_path_and_by_uri(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text("x\n")
    by_path, by_uri = Collection.open(str(tmp_path)), Collection.open(f"file://{tmp_path}")
    assert by_path.sha256("corpus.jsonl") == by_uri.sha256("corpus.jsonl")


def test_an_unknown_sample_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no sample 'laws': there are statutes .* casework, counsel, drafting"):
        Collection.open("sample://laws")
