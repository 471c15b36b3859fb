"""The file of questions that keeps `qvl eval` busy for as long as an experiment looks at it."""
import json
import os


def write_questions(path, picture, count):
    """The same question about one picture, so that each costs the same."""
    line = json.dumps({"kind": "x", "images": [os.path.abspath(picture)], "videos": [], "question": "What is there?", "answer": ""})
    path.write_text((line + "\n") * count)
