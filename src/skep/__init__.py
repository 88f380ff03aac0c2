"""Skep: builds AI agents from source, runs each in its own sandbox, keeps all their work durable."""

__version__ = "0.1.0"
