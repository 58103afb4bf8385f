"""The life of orders: from `Approved` to commands, protective exits, what execution cost."""
