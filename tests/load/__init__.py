"""More than one machine's worth of streams, from processes of their own, every byte of which is looked at."""
