"""Write the chapter on the formulas that ship: python -m calibrant.formula spec."""

import sys
from pathlib import Path

from calibrant.formula.chapter import NAME, chapter

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "spec")
(folder / f"{NAME}.md").write_text(chapter(), encoding="utf-8")
