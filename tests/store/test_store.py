"""The store: what an address depends on, all-or-nothing publishing, verification, and stores that are no local disk."""

import hashlib
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from mixstage.errors import StoreError
from mixstage.store.files import write_bytes
from mixstage.store.store import MANIFEST, Artifact, Draft, Store, digest_of

RECIPE = {"what": "thing", "of": ["a", "b"]}
TABLE = pa.table({"doc_id": ["d1", "d2"], "grade": [0, 2]})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


class Thing(Artifact):
    kind = "thing"
    __slots__ = ()


class Other(Artifact):
    kind = "other"
    __slots__ = ()


class Nothing(Artifact):
    kind = "nothing"
    __slots__ = ()


def publish(store: Store, text: str = "hello", recipe: dict[str, object] = RECIPE) -> Thing:
    draft = store.draft(Thing, recipe)
    draft.text("notes/a.txt", text)
    draft.table("b.parquet", TABLE)
    return draft.publish({"rows": 2})


def backwards(value: object) -> object:
    """The same data with every dict's keys inserted the other way round."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: object) -> None:
    assert digest_of(value) == digest_of(backwards(value))


def test_a_digest_is_the_head_of_the_sha256_of_compact_sorted_json() -> None:
    expected = hashlib.sha256(b'{"a":[1,2.5,null],"b":"\\u00e9"}').hexdigest()[:24]
    assert digest_of({"b": "é", "a": [1, 2.5, None]}) == expected


@pytest.mark.parametrize(
    "other", [{"a": 2}, {"a": "1"}, {"a": 1.5}, {"a": [1]}, {"b": 1}, {"a": 1, "b": None}, {"a": True}]
)
def test_a_digest_changes_with_values_types_and_keys(other: dict[str, object]) -> None:
    assert digest_of(other) != digest_of({"a": 1})


def test_nan_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_of({"a": float("nan")})


def test_what_is_published_is_found_and_reads_back(store: Store) -> None:
    publish(store)
    found = store.get(Thing, digest_of(RECIPE))
    assert found.read_table("b.parquet").equals(TABLE)
    assert found.read_table("b.parquet", ["grade"]).column_names == ["grade"]
    assert (found.local() / "notes/a.txt").read_text() == "hello"
    assert (found.recipe, found.meta) == (RECIPE, {"rows": 2})
    assert found.names("notes/", ".txt") == ["notes/a.txt"]


def test_a_manifest_lists_every_file_with_its_size_and_sha256(store: Store) -> None:
    folder = publish(store).local()
    manifest = json.loads((folder / MANIFEST).read_text())
    on_disk = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == on_disk - {MANIFEST} == {"notes/a.txt", "b.parquet"}
    for name, facts in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert (facts["size"], facts["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_facts_that_a_worker_noted_go_into_the_manifest_unread(store: Store) -> None:
    draft = store.draft(Thing, RECIPE)
    facts = draft.table("b.parquet", TABLE)
    content = Path(f"{draft.path}/b.parquet").read_bytes()
    assert facts == {"rows": 2, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    artifact = draft.publish({}, {"b.parquet": facts})
    assert artifact.files["b.parquet"] == facts
    artifact.verify()


def test_a_draft_is_not_found_before_it_is_published(store: Store) -> None:
    draft = store.draft(Thing, RECIPE)
    draft.text("a.txt", "hello")
    assert store.find(Thing, draft.digest) is None
    assert list(store.all(Thing)) == []
    with pytest.raises(StoreError, match=f"no thing/{draft.digest}.*run the phase"):
        store.get(Thing, draft.digest)


def test_a_folder_without_a_manifest_is_no_artifact_and_the_next_draft_takes_it_up(store: Store) -> None:
    draft = store.draft(Thing, RECIPE)
    draft.text("a.txt", "from the killed run")
    again = store.draft(Thing, RECIPE)
    again.text("b.txt", "from this run")
    artifact = again.publish({})
    assert (artifact.local() / "a.txt").read_text() == "from the killed run"
    assert set(artifact.files) == {"a.txt", "b.txt"}
    artifact.verify()


def test_a_writer_that_dies_in_the_middle_of_a_file_leaves_nothing_under_its_name(tmp_path: Path) -> None:
    write_bytes(fs.LocalFileSystem(), str(tmp_path / "a"), b"first")
    with pytest.raises(TypeError):
        write_bytes(fs.LocalFileSystem(), str(tmp_path / "a"), 17)  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == b"first"


def test_a_run_that_dies_before_the_rename_leaves_no_artifact(store: Store, tmp_path: Path) -> None:
    draft = store.draft(Thing, RECIPE)
    draft.text("a.txt", "hello")
    final = tmp_path / "store/thing" / draft.digest
    final.write_text("in the way")  # the rename onto a file fails, after the manifest has been written
    with pytest.raises(OSError):
        draft.publish({})
    final.unlink()
    assert store.find(Thing, draft.digest) is None
    assert list(store.all(Thing)) == []
    artifact = store.draft(Thing, RECIPE).publish({})  # the next run goes on where this one stopped
    assert set(artifact.files) == {"a.txt"}
    artifact.verify()


def test_marks_and_half_written_files_of_a_killed_run_stay_out_of_the_artifact(store: Store) -> None:
    draft = store.draft(Thing, RECIPE)
    draft.text("part/a.txt", "whole")
    Path(f"{draft.path}/part/.a.txt.json").write_text("{}")
    Path(f"{draft.path}/part/.writing-x1").write_bytes(b"hal")
    artifact = draft.publish({})
    assert {p.name for p in artifact.local().rglob("*") if p.is_file()} == {MANIFEST, "a.txt"}
    assert set(artifact.files) == {"part/a.txt"}


def test_pruning_takes_what_is_not_named_and_leaves_the_notes_of_the_job(store: Store) -> None:
    draft = store.draft(Thing, RECIPE)
    for name in ("part/a.txt", "part/b.txt", "part/.a.txt.json"):
        draft.text(name, "x")
    draft.prune(["part/a.txt"])
    assert {p.name for p in Path(draft.path).rglob("*") if p.is_file()} == {"a.txt", ".a.txt.json"}


def test_a_run_killed_while_its_folder_moves_still_knows_what_it_had_finished(store: Store) -> None:
    draft = store.draft(Thing, RECIPE)
    draft.text("a.txt", "whole")
    draft.text(".a.txt.json", "{}")
    final = Path(draft.path.removesuffix(".partial"))
    final.write_text("in the way")
    with pytest.raises(OSError):
        draft.publish({})
    assert draft.has(".a.txt.json")
    final.unlink()
    assert {p.name for p in store.draft(Thing, RECIPE).publish({}).local().iterdir()} == {MANIFEST, "a.txt"}


def test_the_second_publisher_of_a_digest_keeps_the_first_content(store: Store) -> None:
    first = publish(store, "first")
    second = publish(store, "second")
    assert (second.local() / "notes/a.txt").read_text() == "first"
    assert not Path(f"{first.path}.partial").exists()
    second.verify()


def test_two_runs_that_write_the_same_artifact_at_once_both_get_it(tmp_path: Path) -> None:
    """The slower one finds its folder moved away under its hands: the content is there, so it has lost nothing."""
    slow, fast = (Store(str(tmp_path)).draft(Thing, RECIPE) for _ in range(2))
    slow.text("a.txt", "same")
    fast.text("a.txt", "same")
    first = fast.publish({"n": 1})
    second = slow.publish({"n": 1})
    assert first.path == second.path
    second.verify()
    assert set(second.files) == {"a.txt"}


def test_artifacts_of_a_kind_come_by_digest_and_other_kinds_stay_out(store: Store) -> None:
    digests = {publish(store, recipe={"n": n}).digest for n in range(3)}
    store.draft(Thing, {"n": 3}).text("a.txt", "unpublished")
    store.draft(Other, {"n": 4}).publish({})
    assert [artifact.digest for artifact in store.all(Thing)] == sorted(digests)
    assert list(store.all(Nothing)) == []


def test_a_file_that_the_manifest_does_not_list_is_refused_with_those_it_lists(store: Store) -> None:
    artifact = publish(store)
    (artifact.local() / "intruder.txt").write_text("x")
    with pytest.raises(StoreError, match=r"holds no 'intruder\.txt', only b\.parquet, notes/a\.txt"):
        artifact.file("intruder.txt")


def test_an_intact_artifact_verifies(store: Store) -> None:
    publish(store).verify()


@pytest.mark.parametrize("name", ["notes/a.txt", "b.parquet"])
@pytest.mark.parametrize("fault", ["flipped bit", "truncated", "appended", "missing"])
def test_verification_finds_a_damaged_file_and_names_it(store: Store, name: str, fault: str) -> None:
    artifact = publish(store)
    path = artifact.local() / name
    content = bytearray(path.read_bytes())
    if fault == "flipped bit":
        content[len(content) // 2] ^= 1
    elif fault == "truncated":
        del content[-1]
    elif fault == "appended":
        content += b"\0"
    path.unlink()
    if fault != "missing":
        path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        store.get(Thing, artifact.digest).verify()
    assert str(caught.value).startswith(f"{artifact.path}: {name} differ from the manifest or are missing")
    assert artifact.damaged() == [name]
    assert f"delete {artifact.path} and run again" in str(caught.value)


def test_a_store_pickles_as_its_uri_and_finds_the_same_artifacts(store: Store) -> None:
    artifact = publish(store)
    again = pickle.loads(pickle.dumps(store))
    assert again.uri == store.uri
    assert again.get(Thing, artifact.digest) == artifact


def test_artifacts_and_drafts_pickle_and_work_elsewhere(store: Store) -> None:
    draft = pickle.loads(pickle.dumps(store.draft(Thing, RECIPE)))
    draft.text("a.txt", "hello")
    artifact = pickle.loads(pickle.dumps(draft.publish({"n": 1})))
    artifact.verify()
    assert artifact.meta == {"n": 1}


def test_a_relative_path_is_one_store_wherever_the_process_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Store("here")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert publish(relative).path == f"{tmp_path}/here/thing/{digest_of(RECIPE)}"


def test_a_uri_that_no_filesystem_serves_is_refused_with_an_example() -> None:
    with pytest.raises(StoreError, match=r"can't open 'gopher://x/y'.*s3://bucket/prefix"):
        Store("gopher://x/y").find(Thing, "0")


def test_a_store_of_objects_publishes_by_copying_the_manifest_last(memory_store: Store) -> None:
    artifact = publish(memory_store)
    found = memory_store.get(Thing, artifact.digest)
    found.verify()
    assert found.read_table("b.parquet").equals(TABLE)
    assert [a.digest for a in memory_store.all(Thing)] == [artifact.digest]
    partial = memory_store.filesystem.get_file_info(f"{artifact.path}.partial")
    assert partial.type == fs.FileType.NotFound


def test_a_copy_that_dies_half_way_leaves_no_artifact_and_the_next_run_completes_it(memory_store: Store) -> None:
    draft = memory_store.draft(Thing, RECIPE)
    draft.text("a.txt", "hello")
    draft.text("b.txt", "world")
    draft.text(".b.txt.json", "a note")
    final = draft.path.removesuffix(".partial")
    draft.filesystem.copy_file(f"{draft.path}/a.txt", f"{final}/a.txt")  # what the dead run had copied
    assert memory_store.find(Thing, draft.digest) is None
    assert list(memory_store.all(Thing)) == []
    artifact = memory_store.draft(Thing, RECIPE).publish({})
    artifact.verify()
    assert set(artifact.files) == {"a.txt", "b.txt"}
    left = memory_store.filesystem.get_file_info(fs.FileSelector(artifact.path))
    assert {info.base_name for info in left} == {"a.txt", "b.txt", MANIFEST}


def test_the_second_publisher_in_a_store_of_objects_keeps_the_first_content(memory_store: Store) -> None:
    publish(memory_store, "first")
    second = publish(memory_store, "second")
    with second.filesystem.open_input_stream(second.file("notes/a.txt")) as stream:
        assert stream.read() == b"first"


def test_a_remote_artifact_is_fetched_once_and_read_from_the_cache(
    memory_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    artifact = publish(memory_store)
    folder = artifact.local()
    assert folder.is_relative_to(tmp_path)
    assert (folder / "notes/a.txt").read_text() == "hello"
    for name in artifact.files:
        artifact.filesystem.delete_file(artifact.file(name))
    assert artifact.local() == folder
    assert (artifact.local() / "notes/a.txt").read_text() == "hello"
    assert [p.name for p in folder.parent.iterdir()] == [artifact.digest]  # no scratch left


def test_of_a_remote_artifact_only_the_named_files_are_fetched(
    memory_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    draft = memory_store.draft(Thing, RECIPE)
    for name in ("a.txt", "parts/b.txt", "parts/c.txt"):
        draft.text(name, name)
    artifact = draft.publish({})
    folder = artifact.local(["parts/c.txt", "a.txt"])
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"a.txt", "parts/c.txt", MANIFEST}
    assert (folder / "parts/c.txt").read_text() == "parts/c.txt"
    artifact.filesystem.delete_file(artifact.file("a.txt"))
    assert artifact.local(["a.txt", "parts/c.txt"]) == folder  # from the cache
    assert artifact.local(["parts/b.txt"]) != folder


def test_a_local_folder_goes_into_a_store_of_objects_with_its_subfolders(memory_store: Store, tmp_path: Path) -> None:
    (tmp_path / "model/1_Pooling").mkdir(parents=True)
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/1_Pooling/config.json").write_text('{"a": 1}')
    draft = memory_store.draft(Thing, RECIPE)
    draft.folder(tmp_path / "model")
    artifact = draft.publish({})
    assert set(artifact.files) == {"config.json", "1_Pooling/config.json"}
    assert artifact.read_json("1_Pooling/config.json") == {"a": 1}


def test_a_filesystem_with_real_folders_that_is_not_the_local_one_works_as_well(tmp_path: Path) -> None:
    """Through fsspec a disk (or sftp) is no LocalFileSystem, yet it refuses to write where there is no folder."""
    artifact = publish(Store(f"fsspec+file://{tmp_path}/store"))
    artifact.verify()
    assert (tmp_path / "store/thing" / artifact.digest / "notes/a.txt").read_text() == "hello"


def test_what_a_recipe_makes_is_built_once_and_is_of_its_type(store: Store) -> None:
    built: list[str] = []

    def build(draft: Draft[Thing]) -> Thing:
        built.append(draft.digest)
        draft.text("a.txt", "hello")
        return draft.publish({"rows": 1})

    first, again = (store.made(Thing, RECIPE, build) for _ in range(2))
    assert first == again and isinstance(again, Thing)
    assert built == [first.digest] == [digest_of(RECIPE)]
    assert store.find(Other, first.digest) is None  # the same address of another kind is another artifact
    assert store.taken == {("thing", first.digest): True}
    later = Store(store.uri)
    assert list(later.all(Thing)) == [first] and later.taken == {}  # looked at, not taken
    assert later.made(Thing, RECIPE, build) == first and later.taken == {("thing", first.digest): False}


def test_a_build_that_fails_keeps_what_it_had_finished(store: Store) -> None:
    def stop(draft: Draft[Thing]) -> Thing:
        draft.text("a.txt", "hello")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.made(Thing, RECIPE, stop)
    assert store.find(Thing, digest_of(RECIPE)) is None
    thing = store.made(Thing, RECIPE, lambda draft: draft.publish({}))
    assert list(thing.files) == ["a.txt"]
