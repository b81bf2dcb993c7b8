"""What the properties are written with: `@clause`, the session and its profiles."""
