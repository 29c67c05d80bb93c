"""The rooms behind `EmbeddedStore`: one SQLite file, and its vectors in memory."""
