"""Questions about two pictures seen together."""
from questions import Scene, article, describe, mark, noun

ORDINALS = ["first", "second"]
WHICH = ["Which picture shows {}?", "In which picture is there {}?", "Which picture has {} in it?"]
ONE_OF = ["Describe the {} picture.", "What is in the {} picture?", "What does the {} picture show?"]
MORE = ["Which picture has more objects?", "In which picture are there more objects?"]


def pair_questions(rng, scenes):
    """Questions about two pictures seen together: [(kind, question, answer, picture named)]."""
    pick = lambda values: values[int(rng.integers(len(values)))]
    out, which = [], int(rng.integers(2))
    out.append(("pair", pick(ONE_OF).format(ORDINALS[which]), describe(Scene(scenes[which], rng))[1], which))
    i = int(rng.integers(len(scenes[which]["objects"])))
    item = scenes[which]["objects"][i]
    others = [(o["kind"], o["colour"], o["digit"]) for o in scenes[1 - which]["objects"]]
    if (item["kind"], item["colour"], item["digit"]) not in others:
        question = pick(WHICH).format(mark(article(noun(item)), i))
        out.append(("which", question, f"The {ORDINALS[which]} picture.", which))
    counts = [len(s["objects"]) for s in scenes]
    if counts[0] != counts[1]:
        out.append(("more", pick(MORE), f"The {ORDINALS[int(counts[1] > counts[0])]} picture.", 0))
    return out
