"""Pictures, videos, cameras and streams in and out, their sound, and faces drawn into them."""
