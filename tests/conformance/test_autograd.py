"""The chapter on autograd."""
