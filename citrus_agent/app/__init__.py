"""Faces: files in and out, the command line. Knows every room."""
