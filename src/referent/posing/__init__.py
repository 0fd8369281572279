"""Masked RGB-D pictures on disk to poses: what `referent pose` does."""
