"""Workflows as LangGraph state machines. Assembly is the one place that names concrete classes."""
