"""The labelled stream that `semroute demo` replays: one day of four support desks."""
