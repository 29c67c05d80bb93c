"""Protocols that measure the shipped rules on labelled questions: pairs, conversations and streams."""
