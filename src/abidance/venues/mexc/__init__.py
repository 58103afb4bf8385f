"""MEXC spot V3, protobuf frames."""
