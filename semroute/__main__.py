"""The command `semroute`, and `python -m semroute`: next to nothing, so that Ctrl-C is heard from the first moment."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from semroute.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("semroute: stopped before it was done", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
