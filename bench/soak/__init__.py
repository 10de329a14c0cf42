"""Mixed load with faults for an hour: `make soak MINUTES=60`, described in docs/performance.md."""
