"""The rooms behind `ShardedStore`: who the shards are, which of them is asked, and what they must know first."""
