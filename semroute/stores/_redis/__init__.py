"""The rooms behind `RedisStore`: commands and replies as pure functions, and the connections that carry them."""
