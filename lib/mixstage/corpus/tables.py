"""The two artifacts of a plan's data: documents as tables, and what an application asks of them."""

from collections.abc import Mapping

from mixstage.plan.data import FieldType, SplitSizes
from mixstage.store.artifact import Artifact
from mixstage.store.plain import Json


class Corpus(Artifact):
    """Documents: documents/part-*.parquet in row order, and metadata/part-*.parquet where fields are declared."""

    kind = "corpus"
    FORMAT = 2  # raise when the tables change
    __slots__ = ()

    @classmethod
    def recipe_of(cls, sha256: str, metadata: Mapping[str, FieldType]) -> dict[str, Json]:
        """The source's content and the declared fields; the shard size only lays the same rows out differently."""
        recipe: dict[str, Json] = {"what": "corpus", "format": cls.FORMAT, "sha256": sha256}
        return recipe | ({"metadata": dict(metadata)} if metadata else {})

    @property
    def documents(self) -> int:
        """How many there are."""
        return int(self.meta["documents"])

    @property
    def fields(self) -> dict[str, FieldType]:
        """Declared metadata: what can be filtered by."""
        return dict(self.meta.get("metadata", {}))

    @property
    def shards(self) -> list[str]:
        """Names of the files of documents, in row order."""
        return self.names("documents/", ".parquet")

    def rows(self, shard: str) -> int:
        """Documents in a shard."""
        return int(self.files[shard]["rows"])


class Application(Artifact):
    """Queries and judgements of a downstream user: queries.parquet, judgements.parquet."""

    kind = "application"
    FORMAT = 2  # raise when the tables change
    __slots__ = ()

    @classmethod
    def recipe_of(cls, corpus: Corpus, sha256: Mapping[str, str], sizes: SplitSizes) -> dict[str, Json]:
        """sha256: file of the source -> its content's."""
        return {
            "what": "application",
            "format": cls.FORMAT,
            "corpus": corpus.digest,
            "sha256": dict(sha256),
            "sizes": sizes.model_dump(),
        }

    @property
    def queries(self) -> dict[str, int]:
        """split -> how many it has."""
        return dict(self.meta["queries"])

    @property
    def sources(self) -> dict[str, str]:
        """file of the source -> sha256 of its content, such as that of qrels/test.tsv."""
        return dict(self.recipe["sha256"])
