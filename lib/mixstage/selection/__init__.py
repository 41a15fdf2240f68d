"""Phase 4: choose on dev, confirm on test, say why."""
