"""Measurements that take long: each prints what RESULTS.md reports."""
