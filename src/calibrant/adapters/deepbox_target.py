"""deepbox, a library in TypeScript, by an adapter in JavaScript: `npm install deepbox@1` where calibrant is started."""

from pathlib import Path

program = ["node", str(Path(__file__).with_name("deepbox.cjs"))]
