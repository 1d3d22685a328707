"""What is learned from: crops and their views, and composed scenes."""
