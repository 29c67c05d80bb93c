"""Measurements of semroute: sets, protocols, rivals, and the page that reports them."""
