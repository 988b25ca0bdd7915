"""The waist: streams of bytes into streams of events and back, with no I/O, clock, randomness or log.

Nothing here imports from the rest of the package.
"""
