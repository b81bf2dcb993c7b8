"""calibrant: an executable specification of the mechanics of learning, and the instrument that holds any implementation to it."""

__version__ = "0.1.0"
