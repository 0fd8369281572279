"""The parts of `bench_tracker.py` and `soak_tracker.py`."""
