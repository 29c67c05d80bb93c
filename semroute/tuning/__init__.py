"""Tuning: from labelled pairs and an error budget to a policy, and the watch over what it promised."""
