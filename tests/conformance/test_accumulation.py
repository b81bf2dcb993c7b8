"""The chapter on accumulation."""
