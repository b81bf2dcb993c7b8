"""Programs that the tests run as targets: right ones, and one that lies."""
