"""The chapter on validation."""
