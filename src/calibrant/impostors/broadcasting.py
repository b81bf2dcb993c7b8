"""Impostors of the chapter on broadcasting."""
