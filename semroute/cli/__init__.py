"""The command line: `semroute --help`."""
