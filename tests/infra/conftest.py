"""What the tests of this folder share: the files of infra/, read once."""

import sys
from pathlib import Path

# pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))
