"""Documents that answers are made from, and what becomes of the answers when they change."""
