"""What a lookup costs, tier by tier, beside the raw operations under it."""
