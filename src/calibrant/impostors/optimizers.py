"""Impostors of the chapter on optimizers."""
