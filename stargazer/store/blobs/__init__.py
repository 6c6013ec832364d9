"""Bytes by CID."""
