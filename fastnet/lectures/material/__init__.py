"""What several experiments share: the networks that they look into or retrain, and their images."""
