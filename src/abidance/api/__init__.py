"""The web door: what runs do, over HTTP and WebSocket, and the few orders that may be given to them."""
