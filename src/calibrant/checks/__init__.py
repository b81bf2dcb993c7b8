"""The engine: properties run on a target in worker processes, and the verdicts that follow."""
