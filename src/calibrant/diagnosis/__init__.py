"""Explanations of a failing target: the impostor or the variant whose answers it gives."""
