"""The performance harness: `make bench`, described in docs/performance.md."""
