"""Impostors of the chapter on descent."""
