"""pytest's importlib mode puts no folder on the path; this folder's tests share a module."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
