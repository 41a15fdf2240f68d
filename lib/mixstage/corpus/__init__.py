"""Phase 0: legal collections in, typed tables out."""
