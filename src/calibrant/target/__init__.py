"""An implementation under test: described, loaded, called without trust, and contained."""
