"""Measurements of the judge and the suite: their speed, false alarms, and the errors that other checkers miss.

`python -m calibrant.benchmarks --help` lists them. PyTorch takes part where it is installed. The same seed gives the same cases.
"""

REJECTED = "Rejections"
"""The title of the table of right answers that were rejected: any of them is a bug."""
