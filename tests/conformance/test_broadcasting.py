"""The chapter on broadcasting."""
