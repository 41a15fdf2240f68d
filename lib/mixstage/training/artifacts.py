"""What training leaves in the store beside checkpoints."""

from mixstage.store.store import Artifact


class Samples(Artifact):
    """What a stage is trained on: samples.parquet and, of mined ones, negatives.parquet, the ledger."""

    kind = "samples"
    FORMAT = 2  # raise when a stage would get other samples from the same plan
    __slots__ = ()

    @property
    def count(self) -> int:
        """Rows of samples.parquet."""
        return int(self.meta["samples"])

    @property
    def sources(self) -> dict[str, int]:
        """Source -> its rows."""
        return dict(self.meta["sources"])

    @property
    def is_mined(self) -> bool:
        """Whether some of them have mined negatives, of which there is a ledger then."""
        return bool(self.meta.get("mining"))


class Adapter(Artifact):
    """What LoRA learned, before it was merged into a checkpoint: a folder that peft loads."""

    kind = "adapter"
    __slots__ = ()
