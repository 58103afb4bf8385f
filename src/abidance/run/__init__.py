"""Composition roots: configuration, plugins, and one file per mode. Only here do modes have names."""
