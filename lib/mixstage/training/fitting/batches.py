"""Which rows make a batch: the same ones whatever the number of workers, and after a resume."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mixstage.errors import TrainingError


class Batches:
    """A batch sampler over groups of rows; a batch holds rows of one group, and every batch is full.

    A step's batch is drawn as a whole and cut into one part a worker, because a worker takes every `workers`-th
    batch: no text stands twice among the in-batch negatives of all workers together, and all of them gather the
    same columns. An epoch's batches follow from seed and epoch alone, so a resumed run reads those it would have read.
    """

    def __init__(
        self, groups: Sequence[Any], *, size: int, workers: int, distinct: bool, seed: int, label: str = "training"
    ) -> None:
        """`groups`: datasets of rows, at least one with size x workers rows; `distinct`: no text twice in a step;
        `label`: what errors call the run."""
        self.groups, self.workers, self.distinct, self.seed = groups, workers, distinct, seed
        self.label = label
        self.batch_size, self.drop_last = size, True  # read by accelerate
        self.whole = size * workers
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(len(group) // self.whole for group in self.groups) * self.workers

    def __iter__(self) -> Iterator[list[int]]:
        """Row numbers over all groups, in proportion to the groups' sizes."""
        lengths = [len(group) for group in self.groups]
        first = np.cumsum([0, *lengths]).tolist()
        turns = np.repeat(np.arange(len(lengths)), [length // self.whole for length in lengths])
        generator = np.random.default_rng([self.seed, self.epoch])
        streams = [
            self._distinct(group) if self.distinct else self._shuffled(group, generator) for group in self.groups
        ]
        for turn in generator.permutation(turns):
            batch = [first[turn] + row for row in next(streams[turn])]
            for worker in range(self.workers):
                yield batch[worker * self.batch_size : (worker + 1) * self.batch_size]

    def _shuffled(self, group: Any, generator: np.random.Generator) -> Iterator[list[int]]:
        order = generator.permutation(len(group)).tolist()
        yield from (order[at : at + self.whole] for at in range(0, len(order) - self.whole + 1, self.whole))

    def _distinct(self, group: Any) -> Iterator[list[int]]:
        """Endless: where few texts are distinct, a pass gives fewer batches than rows would fill."""
        import torch
        from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

        sampler = NoDuplicatesBatchSampler(
            group, batch_size=self.whole, drop_last=True, generator=torch.Generator(), seed=self.seed
        )
        sampler.set_epoch(self.epoch)
        while True:
            batch = None
            for batch in sampler:
                yield batch
            if batch is None:
                raise TrainingError(
                    f"{self.label}: {len(group)} samples share too many texts for a batch of {self.whole} without "
                    "repeats: lower batch_size or mine.negatives, or bring more samples (mine.hard_rank keeps hard "
                    "queries only)"
                )
