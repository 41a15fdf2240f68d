"""Phase 3: rankings, pair scores, measures and the grid of compositions."""
