import sys
from pathlib import Path

# pytest's importlib mode puts no folder on the path; this folder's tests share known_answers.
sys.path.insert(0, str(Path(__file__).parent))
