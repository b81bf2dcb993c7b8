"""Impostors of the chapter on data."""
