"""Targets that ship with calibrant: a module each, as the protocol describes, registered under the module's short name."""
