"""Impostors of the chapter on validation."""
