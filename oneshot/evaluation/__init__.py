"""Measuring: how well faces are told apart (verification), found (detection), and how fast (timing).

Needs the `train` extra for detection (pycocotools) and for the teacher (torch, timm).
"""
