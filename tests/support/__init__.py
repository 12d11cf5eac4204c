"""Helpers that several test files share: real servers, checkouts, archives, made results."""
