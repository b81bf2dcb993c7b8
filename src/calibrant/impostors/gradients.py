"""Impostors of the chapter on gradients."""
