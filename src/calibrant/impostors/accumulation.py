"""Impostors of the chapter on accumulation."""
