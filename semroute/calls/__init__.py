"""What every integration builds its calls on: lookup, single flight, streams and values, free of any framework."""
