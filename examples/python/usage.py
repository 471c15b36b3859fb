"""The pipeline in ten lines: one question about a picture, and what the machine did for it.

    python examples/python/usage.py [MODEL [PICTURE]]
"""
import sys
from pathlib import Path

import qvl

ROOT = Path(__file__).resolve().parents[2]


def ask(model, picture):
    config = qvl.SystemOptimizationConfig(
        num_compute_threads=4, num_io_threads=2, memory_limit_ratio=0.7, scheduling_algorithm="load_balanced")
    pipeline = qvl.apply_system_level_optimizations(qvl.load_model(model, config=config), config)

    output = pipeline.run_inference(prompt="Describe this picture.", images=[picture])
    print(output.text)

    metrics = pipeline.get_performance_metrics()
    print(f"{metrics['total_inferences']} inference, {metrics['avg_inference_time']:.3f} s, "
          f"{metrics['tokens_per_second']:.1f} tokens a second, memory {metrics['avg_memory_percent']:.0f} %", file=sys.stderr)
    pipeline.cleanup()


try:
    ask(sys.argv[1] if len(sys.argv) > 1 else ROOT / "models" / "shapes",
        sys.argv[2] if len(sys.argv) > 2 else ROOT / "examples" / "blue-heart.png")
except qvl.Error as error:
    print(f"usage.py: {error}", file=sys.stderr)
    sys.exit(2)
