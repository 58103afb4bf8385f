"""What a live feed makes of what venues send: trust, order, whole slices. No socket, no clock but the caller's."""
