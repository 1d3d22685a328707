"""A collection of photos: described, indexed, and grouped by person."""
