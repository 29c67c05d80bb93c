from __future__ import annotations

import sys
from pathlib import Path

# The evaluations are no part of the installed package: they lie beside the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
