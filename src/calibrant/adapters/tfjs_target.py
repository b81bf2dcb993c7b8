"""TensorFlow.js on the CPU, by an adapter in JavaScript: `npm install @tensorflow/tfjs@4` where calibrant is started."""

from pathlib import Path

program = ["node", str(Path(__file__).with_name("tfjs.cjs"))]
