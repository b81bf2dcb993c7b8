"""The chapter on optimizers."""
