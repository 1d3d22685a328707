"""Learning: three stages over one loop, and SqueezeFacePoseNet's own recipe beside them.

Needs the `train` extra.
"""
