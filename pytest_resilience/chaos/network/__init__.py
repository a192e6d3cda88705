"""Proxies in front of endpoints, and the toxics that they apply."""
