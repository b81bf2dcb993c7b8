"""The verdicts as a person or a machine reads them."""
