"""The user's files of settings: read to be changed in place, shown before they are, written whole or not at all."""
