"""Impostors of the chapter on model."""
