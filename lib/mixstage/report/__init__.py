"""Phase 4, told: what was chosen and why, as data, as a page and as a note for a pull request."""
