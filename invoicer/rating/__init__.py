"""The pure rating core: usage in, exact fee amounts out. No I/O, no clock, no other package of this project."""
