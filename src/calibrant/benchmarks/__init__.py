"""What calibrant claims of its judge, measured: how fast it is, that it raises no false alarm, and what it sees that others miss.

    python -m calibrant.benchmarks judge
    python -m calibrant.benchmarks soundness --cases 1000000
    python -m calibrant.benchmarks peers
    python -m calibrant.benchmarks detection

torch takes part where it is installed. The same seed gives the same cases.
"""
