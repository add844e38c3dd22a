"""What an upstream can bear: pure arithmetic over counters and `now`, one idea a file."""
