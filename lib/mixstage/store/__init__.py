"""Artifacts: content-addressed, written once, manifest last, on any file system."""
