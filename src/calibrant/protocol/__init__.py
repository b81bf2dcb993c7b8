"""What a target may be asked, and how values cross a process border. Knows nothing of who asks or answers."""
