"""Questions, answers and descriptions of a scene, in English.

Every generator returns None where the scene gives no single right answer.  In the text, the mark \\x02 followed by a
digit stands after the words that name an object; `strip_marks` takes the marks out and tells where they were, which
the training uses to supervise the words that name things.
"""
import numpy as np

from draw import BACKGROUND_NAMES, COLOUR_NAMES, KINDS

DESCRIBE = ["Describe this picture.", "Describe the picture.", "Describe this image.", "Describe the image.",
            "What do you see?", "What can you see in this picture?", "What is in this picture?",
            "What is in the image?", "What does the picture show?", "What does this image show?",
            "Give a description of this picture.", "Please describe what you see.", "Caption this picture."]
COLOUR = ["What colour is the {}?", "What is the colour of the {}?", "Which colour does the {} have?",
          "What color is the {}?", "Tell me the colour of the {}.", "Which colour is the {}?"]
SHAPE = ["What shape is the {c} object?", "Which shape is {c}?", "What is the {c} thing?", "What is the {c} object?",
         "What kind of shape is the {c} one?", "Name the {c} shape.", "What shape is {c}?"]
ONLY_SHAPE = ["What shape is it?", "What shape is this?", "Which shape is in the picture?", "What shape do you see?"]
ONLY_COLOUR = ["What colour is it?", "What colour is the object?", "Which colour is the shape?", "What color is it?"]
DIGIT = ["Which digit is in the picture?", "What digit is shown?", "What number do you see?", "Which number is shown?",
         "What digit can you see?", "Read the digit.", "Read the number in the picture.", "What number is it?"]
COLOURED_DIGIT = ["Which digit is {c}?", "What is the {c} number?", "Which number is {c}?", "Read the {c} digit."]
COUNT = ["How many objects are there?", "How many objects can you see?", "Count the objects.",
         "How many things are in the picture?", "How many objects are in the image?", "How many things do you see?"]
COUNT_SOME = ["How many {} are there?", "How many {} can you see?", "Count the {}.", "How many {} are in the picture?"]
GROUND = ["What colour is the background?", "Which colour is the background?", "What is the background colour?",
          "What color is the background?", "What is the colour of the background?"]
POSITION = ["Where is the {}?", "Where in the picture is the {}?", "In which part of the picture is the {}?",
            "Where can I find the {}?"]
RELATION = ["Where is the {} relative to the {}?", "Where is the {} compared with the {}?",
            "Where is the {}, seen from the {}?", "Where does the {} lie relative to the {}?"]
YES_NO = ["Is the {} {} the {}?", "Does the {} lie {} the {}?", "Is it true that the {} is {} the {}?"]
BESIDE = ["What is {} the {}?", "Which object is {} the {}?", "What can you see {} the {}?"]
EXISTS = ["Is there a {}?", "Can you see a {}?", "Is a {} in the picture?", "Does the picture show a {}?"]
SIZE = ["Which object is the {}?", "What is the {} object?", "Which is the {} object?"]
ORDER = ["What is the {} object?", "Which object is the {} one?", "Which object is {}?"]
DIRECTIONS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
SIDE = {"left": "To the left.", "right": "To the right.", "above": "Above.", "below": "Below."}
PLACES = [["At the top left.", "At the top.", "At the top right."], ["On the left.", "In the centre.", "On the right."],
          ["At the bottom left.", "At the bottom.", "At the bottom right."]]
NUMBERS = ["None.", "One.", "Two.", "Three.", "Four."]
EXTREMES = {"leftmost": ("x", 1), "rightmost": ("x", -1), "topmost": ("y", 1), "lowest": ("y", -1)}
MARGIN = 0.1                # a centre must lie this far to the left (in parts of the side) to be "to the left"


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def kind_noun(item):
    return f"number {item['digit']}" if item["kind"] == "digit" else item["kind"]


def noun(item):
    return f"{item['colour']} {kind_noun(item)}"


def plural(kind):
    return {"cross": "crosses", "digit": "digits"}.get(kind, kind + "s")


def mark(text, index):
    return f"{text}\x02{index}"


def strip_marks(text):
    """Text without marks, and [(end of the words, object)]."""
    parts = text.split("\x02")
    plain, marks = parts[0], []
    for part in parts[1:]:
        marks.append((len(plain), int(part[0])))
        plain += part[1:]
    return plain, marks


class Scene:
    """A scene with the helpers the question makers share."""

    def __init__(self, scene, rng):
        self.objects, self.background, self.layout = scene["objects"], scene["background"], scene["layout"]
        self.rng = rng

    def pick(self, values):
        return values[int(self.rng.integers(len(values)))]

    def alone(self, key, value):
        return sum(o[key] == value for o in self.objects) == 1

    def refer(self, i):
        """A name that fits object i only: 'red circle', or 'circle' or 'red object' where that is enough."""
        item, names = self.objects[i], []
        if self.alone("kind", item["kind"]):
            names.append("number" if item["kind"] == "digit" and self.rng.random() < .3 else kind_noun(item))
        if self.alone("colour", item["colour"]):
            names.append(item["colour"] + self.pick([" object", " shape", " one", " thing"]))
        name = self.pick(names) if names and self.rng.random() < 0.4 else noun(item)
        return mark(name, i)

    def thing(self, i):
        return mark(article(noun(self.objects[i])), i)

    def is_beside(self, i, j, side, margin=MARGIN):
        """Whether object i lies clearly on that side of object j."""
        axis = "x" if side in ("left", "right") else "y"
        gap = self.objects[j][axis] - self.objects[i][axis]
        return (gap if side in ("left", "above") else -gap) >= margin

    def pair(self):
        return [int(i) for i in self.rng.permutation(len(self.objects))[:2]]


def describe(s):
    """One sentence, in an order the layout fixes: left to right, top to bottom, or upper pair over lower pair."""
    things, n = [s.thing(i) for i in range(len(s.objects))], len(s.objects)
    ground = f"on {article(s.background)} background."
    if n == 1:
        text = f"{things[0]} {ground}"
    elif n == 2:
        text = f"{things[0]} {DIRECTIONS['left'] if s.layout == 'row' else 'above'} {things[1]} {ground}"
    elif n == 3:
        order = "from left to right" if s.layout == "row" else "from top to bottom"
        text = f"{order}, {things[0]}, {things[1]} and {things[2]} {ground}"
    else:
        text = f"{things[0]} and {things[1]} above {things[2]} and {things[3]} {ground}"
    return s.pick(DESCRIBE), text[0].upper() + text[1:]


def colour(s):
    if len(s.objects) == 1 and s.rng.random() < 0.3:
        return s.pick(ONLY_COLOUR), s.objects[0]["colour"].capitalize() + "."
    some = [i for i, o in enumerate(s.objects) if s.alone("kind", o["kind"])]
    if not some:
        return None
    i = s.pick(some)
    name = kind_noun(s.objects[i])
    if s.objects[i]["kind"] == "digit":
        name = s.pick([name, "digit", "number"])
    return s.pick(COLOUR).format(mark(name, i)), s.objects[i]["colour"].capitalize() + "."


def shape(s):
    if len(s.objects) == 1 and s.objects[0]["kind"] != "digit" and s.rng.random() < 0.3:
        return s.pick(ONLY_SHAPE), f"A {mark(kind_noun(s.objects[0]), 0)}."
    some = [i for i, o in enumerate(s.objects) if s.alone("colour", o["colour"])]
    if not some:
        return None
    i = s.pick(some)
    question = s.pick(SHAPE).format(c=mark(s.objects[i]["colour"], i))
    return question, f"A {mark(kind_noun(s.objects[i]), i)}."


def digit(s):
    some = [i for i, o in enumerate(s.objects) if o["kind"] == "digit"]
    if not some:
        return None
    i = s.pick(some)
    if len(some) == 1 and s.rng.random() < 0.7:
        return s.pick(DIGIT), f"{s.objects[i]['digit']}."
    if sum(s.objects[j]["colour"] == s.objects[i]["colour"] for j in some) > 1:
        return None
    return s.pick(COLOURED_DIGIT).format(c=mark(s.objects[i]["colour"], i)), f"{s.objects[i]['digit']}."


def count(s):
    what = s.rng.random()
    if what < 0.5:
        return s.pick(COUNT), NUMBERS[len(s.objects)]
    present = s.pick(s.objects) if s.rng.random() < 0.8 else None
    if what < 0.8:
        kind = present["kind"] if present else s.pick(KINDS)
        return s.pick(COUNT_SOME).format(plural(kind)), NUMBERS[sum(o["kind"] == kind for o in s.objects)]
    name = present["colour"] if present else s.pick(COLOUR_NAMES)
    return s.pick(COUNT_SOME).format(name + " objects"), NUMBERS[sum(o["colour"] == name for o in s.objects)]


def background(s):
    return s.pick(GROUND), s.background.capitalize() + "."


def position(s):
    """Where an object is in the picture, in ninths, away from their borders."""
    i = int(s.rng.integers(len(s.objects)))
    cell = []
    for axis in "yx":
        at = s.objects[i][axis]
        cell.append(0 if at < 0.31 else 1 if 0.38 < at < 0.62 else 2 if at > 0.69 else None)
    if None in cell:
        return None
    return s.pick(POSITION).format(s.refer(i)), PLACES[cell[0]][cell[1]]


def relation(s):
    """Which side of B object A lies on, where one axis clearly dominates."""
    if len(s.objects) < 2:
        return None
    i, j = s.pair()
    dx, dy = (abs(s.objects[i][a] - s.objects[j][a]) for a in "xy")
    if max(dx, dy) < MARGIN or max(dx, dy) < 1.6 * min(dx, dy):
        return None
    sides = ("left", "right") if dx > dy else ("above", "below")
    side = sides[0] if s.is_beside(i, j, sides[0]) else sides[1]
    return s.pick(RELATION).format(s.refer(i), s.refer(j)), SIDE[side]


def yes_no(s):
    if len(s.objects) < 2:
        return None
    i, j = s.pair()
    side = s.pick(list(DIRECTIONS))
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}[side]
    yes = s.is_beside(i, j, side)
    if not yes and not s.is_beside(i, j, opposite):
        return None
    return s.pick(YES_NO).format(s.refer(i), DIRECTIONS[side], s.refer(j)), "Yes." if yes else "No."


def beside(s):
    """What lies on one side of an object, where exactly one thing does."""
    if len(s.objects) < 2:
        return None
    j, side = int(s.rng.integers(len(s.objects))), s.pick(list(DIRECTIONS))
    if s.layout != "quad" and (side in ("left", "right")) != (s.layout == "row"):
        return None
    near = [i for i in range(len(s.objects)) if i != j and s.is_beside(i, j, side, 0.0)]
    if len(near) != 1 or not s.is_beside(near[0], j, side):
        return None
    answer = s.thing(near[0])
    return s.pick(BESIDE).format(DIRECTIONS[side], s.refer(j)), answer[0].upper() + answer[1:] + "."


def exists(s):
    present = {(o["kind"], o["colour"]) for o in s.objects}
    item = dict(s.pick(s.objects))
    if s.rng.random() < 0.5:
        change = s.rng.random()
        if change < 0.65:
            item["colour"] = s.pick(COLOUR_NAMES)
        if change > 0.35:
            item["kind"] = s.pick([k for k in KINDS if k != "digit"])
    if item["kind"] == "digit":
        return None
    yes = (item["kind"], item["colour"]) in present
    question = s.pick(EXISTS).format(noun(item))
    return question.replace("a orange", "an orange"), "Yes." if yes else "No."


def size(s):
    """The largest or smallest object, where it is so by a third."""
    if len(s.objects) < 2:
        return None
    largest = s.rng.random() < 0.5
    area = [np.sqrt(o["rx"] * o["ry"]) for o in s.objects]
    order = np.argsort(area) if not largest else np.argsort(area)[::-1]
    first, second = area[order[0]], area[order[1]]
    if max(first, second) < 1.33 * min(first, second):
        return None
    word = s.pick(["largest", "biggest"] if largest else ["smallest"])
    return s.pick(SIZE).format(word), f"The {mark(noun(s.objects[int(order[0])]), int(order[0]))}."


def order(s):
    """The leftmost, rightmost, topmost or lowest object."""
    if len(s.objects) < 2:
        return None
    word = s.pick(list(EXTREMES))
    axis, sign = EXTREMES[word]
    at = np.array([o[axis] * sign for o in s.objects])
    ranks = np.argsort(at)
    if at[ranks[1]] - at[ranks[0]] < MARGIN:
        return None
    return s.pick(ORDER).format(word), f"The {mark(noun(s.objects[int(ranks[0])]), int(ranks[0]))}."


MAKERS = dict(describe=describe, colour=colour, shape=shape, digit=digit, count=count, background=background,
              position=position, relation=relation, yes_no=yes_no, beside=beside, exists=exists, size=size, order=order)


def make_questions(rng, scene, wanted):
    """[(kind, question, answer)] with marks, for the kinds in `wanted` that this scene can answer."""
    s, made = Scene(scene, rng), []
    for name in wanted:
        for _ in range(3):
            pair = MAKERS[name](s)
            if pair:
                made.append((name, *pair))
                break
    return made
