"""What plugin authors prove their work with: it may build anything, and nothing that ships may import it."""
