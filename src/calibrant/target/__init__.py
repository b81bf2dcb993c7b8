"""An implementation under test: describe it, load it, call it under guard, and contain it."""
