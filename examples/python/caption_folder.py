"""Captions all pictures of a folder, as a notebook would: load once, ask for all at once, look at the table.

    python examples/python/caption_folder.py FOLDER [MODEL]
"""
import sys
from pathlib import Path

import qvl

# %% Which pictures
def stop(message):
    print(message, file=sys.stderr)
    sys.exit(2)


if len(sys.argv) not in (2, 3) or not Path(sys.argv[1]).is_dir():
    stop("usage: caption_folder.py FOLDER [MODEL], where FOLDER has pictures")
folder = Path(sys.argv[1])
model = sys.argv[2] if len(sys.argv) > 2 else Path(__file__).resolve().parents[2] / "models" / "shapes"
pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp", ".gif"})

# %% All of them as one batch: a request that fails does not stop the others
captions, failures = {}, {}
try:
    pipeline = qvl.OptimizedInferencePipeline(model)
except qvl.Error as error:
    stop(f"caption_folder.py: {error}")
with pipeline:
    streams = [(path, pipeline.submit("Describe this picture.", images=[path], max_tokens=64, request_class="background"))
               for path in pictures]
    for path, stream in streams:
        try:
            captions[path] = stream.result().text
        except qvl.Error as error:
            failures[path] = str(error)
    metrics = pipeline.get_performance_metrics()

# %% What came out
for path, caption in captions.items():
    print(f"{path.name}\t{caption}")
for message in failures.values():
    print(message, file=sys.stderr)
print(f"{metrics['total_inferences']} pictures, {metrics['throughput_ips']:.2f} a second", file=sys.stderr)
sys.exit(1 if failures else 0)
