"""Measurements of the judge and the suite: their speed, false alarms, and the errors that other checkers miss.

    python -m calibrant.benchmarks judge
    python -m calibrant.benchmarks soundness --cases 1000000
    python -m calibrant.benchmarks arrangements
    python -m calibrant.benchmarks speed
    python -m calibrant.benchmarks ulps

PyTorch takes part where it is installed. The same seed gives the same cases.
"""
