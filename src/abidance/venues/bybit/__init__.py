"""Bybit V5, spot and linear perpetuals."""
