"""The routes, one file a noun; each declares the role that it takes."""
