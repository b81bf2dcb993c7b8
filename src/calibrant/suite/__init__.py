"""The tools that properties are written with: `@clause`, the session and its profiles."""
