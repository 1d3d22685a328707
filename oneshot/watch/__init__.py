"""Videos and streams: faces followed from frame to frame, and who was seen when."""
