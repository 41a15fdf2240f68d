"""One training run: rows, batches, loss, trainer, and the model that comes out."""
