"""Phase 5: which composition each application is pinned to, and how that came about."""
