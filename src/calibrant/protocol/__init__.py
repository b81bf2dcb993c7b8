"""The operations that a target may provide, and the form in which values cross a process border."""
