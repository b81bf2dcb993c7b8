"""The operations that a target may provide, and the form in which values cross a process border."""

VERSION = "0.1.0"
"""The version of calibrant."""
