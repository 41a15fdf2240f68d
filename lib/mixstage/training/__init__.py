"""Phase 1: the curriculum, the mining between its stages, and the Ray Train edge."""
