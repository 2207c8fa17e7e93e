"""Helpers for tests of several rooms: servers, people, documents."""
