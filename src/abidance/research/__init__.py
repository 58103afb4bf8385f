"""The workshop: is an idea more than luck, and is it honest."""
