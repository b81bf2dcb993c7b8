"""Impostors of the chapter on autograd."""
