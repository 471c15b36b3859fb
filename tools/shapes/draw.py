"""Scenes of coloured shapes and digits, and their pictures.

A scene is a plain dictionary: a background colour and one to four objects, each with a kind, a colour, a place and a
size in parts of the picture.  `make_scene` invents one, `draw_scene` paints it at any size.  Every outline comes from
a table of signed distances made when the module is loaded, so that the pictures depend on numpy alone; Pillow only
blurs, compresses and resizes.
"""
import io

import numpy as np
from PIL import Image, ImageFilter

KINDS = ["circle", "square", "triangle", "star", "cross", "heart", "ring", "digit"]
COLOURS = {"red": (215, 30, 35), "orange": (245, 135, 15), "yellow": (245, 220, 30), "green": (35, 155, 55),
           "blue": (35, 75, 215), "purple": (135, 40, 170), "white": (246, 246, 244), "black": (22, 22, 24)}
BACKGROUNDS = {"white": (240, 240, 238), "grey": (136, 137, 139), "black": (26, 26, 28), "brown": (112, 72, 42),
               "pink": (240, 178, 196)}
COLOUR_NAMES, BACKGROUND_NAMES = list(COLOURS), list(BACKGROUNDS)
DIGIT_KIND = KINDS.index("digit")

# Sizes the model sees.  Every picture is brought to a multiple of 32 a side, with a number of pixels between these.
MIN_PIXELS, MAX_PIXELS, FACTOR = 16384, 30720, 32

# ---------------------------------------------------------------------------------------------- outlines as distances

TABLE, EXTENT = 224, 1.5          # cells a side, and how far a table reaches from the centre, in radii
STROKES = {   # the digits as strokes in a box of 1.2 by 2: points (x, y), y downwards; arcs are made below
    "1": [[(-.35, -.6), (.1, -.95), (.1, .95)]], "4": [[(.3, .95), (.3, -.95), (-.55, .4), (.6, .4)]],
    "7": [[(-.55, -.92), (.55, -.92), (-.15, .95)]]}


def _arc(cx, cy, rx, ry, start, stop, n=20):
    """Points on an ellipse; angles in degrees, clockwise from the right (y points down)."""
    a = np.radians(np.linspace(start, stop, n))
    return [(cx + rx * np.cos(t), cy + ry * np.sin(t)) for t in a]


STROKES["0"] = [_arc(0, 0, .58, .95, 0, 360, 36)]
STROKES["2"] = [_arc(0, -.42, .55, .53, 190, 400) + [(-.55, .93), (.6, .93)]]
STROKES["3"] = [_arc(-.03, -.47, .53, .47, 200, 450), _arc(-.03, .46, .58, .48, 270, 520)]
STROKES["5"] = [[(.5, -.93), (-.42, -.93), (-.47, -.08)] + _arc(-.02, .36, .57, .57, 217, 510)]
STROKES["6"] = [_arc(.35, .05, .92, 1.0, 262, 180) + [(-.56, .4)], _arc(0, .4, .56, .54, 0, 360, 30)]
STROKES["8"] = [_arc(0, -.48, .47, .46, 0, 360, 30), _arc(0, .46, .57, .49, 0, 360, 30)]
STROKES["9"] = [[(-x, -y) for x, y in part] for part in STROKES["6"]]
SEGMENTS = {  # a second style: the seven bars of a pocket calculator
    "a": ((-.5, -.92), (.5, -.92)), "b": ((.5, -.92), (.5, 0)), "c": ((.5, 0), (.5, .92)), "d": ((-.5, .92), (.5, .92)),
    "e": ((-.5, 0), (-.5, .92)), "f": ((-.5, -.92), (-.5, 0)), "g": ((-.5, 0), (.5, 0))}
BARS = ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg"]


def _grid():
    axis = (np.arange(TABLE) + 0.5) / TABLE * 2 * EXTENT - EXTENT
    return np.meshgrid(axis, axis)


def _segment_distance(x, y, p, q):
    """Distance of every point to the segment p q."""
    px, py, dx, dy = x - p[0], y - p[1], q[0] - p[0], q[1] - p[1]
    t = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
    return np.hypot(px - t * dx, py - t * dy)


def _polygon(x, y, points):
    """Signed distance to a closed polygon, negative inside (even-odd rule)."""
    distance, inside = np.full(x.shape, 9.0), np.zeros(x.shape, bool)
    for p, q in zip(points, points[1:] + points[:1]):
        distance = np.minimum(distance, _segment_distance(x, y, p, q))
        crosses = (p[1] > y) != (q[1] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (q[0] - p[0]) * (y - p[1]) / (q[1] - p[1]) + p[0])
    return np.where(inside, -distance, distance)


def _strokes(x, y, lines):
    distance = np.full(x.shape, 9.0)
    for line in lines:
        for p, q in zip(line, line[1:]):
            distance = np.minimum(distance, _segment_distance(x, y, p, q))
    return distance


def _outlines():
    """name -> table of signed distances in radii; the digits hold the bare distance to their strokes."""
    x, y = _grid()
    turn = lambda n, r, start: [(r[i % len(r)] * np.sin(a), -r[i % len(r)] * np.cos(a))
                                for i, a in enumerate(start + 2 * np.pi * np.arange(n) / n)]
    arm, heart = 0.34, np.linspace(0, 2 * np.pi, 60, endpoint=False)
    plus = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1), (-arm, 1), (-arm, arm),
            (-1, arm), (-1, -arm), (-arm, -arm)]
    tables = {
        "circle": np.hypot(x, y) - 0.97,
        "square": _polygon(x, y, [(-.86, -.86), (.86, -.86), (.86, .86), (-.86, .86)]),
        "triangle": _polygon(x, y, [(0, -.98), (1.0, .82), (-1.0, .82)]),
        "star": _polygon(x, y, turn(10, (1.08, 0.45), 0.0)),
        "cross": _polygon(x, y, plus),
        "heart": _polygon(x, y, [(np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t)
                                                     - np.cos(4 * t)) / 16 - .1) for t in heart]),
        "ring": np.abs(np.hypot(x, y) - 0.74) - 0.25}
    for digit in "0123456789":
        tables["digit" + digit] = _strokes(x, y, STROKES[digit])
        tables["bars" + digit] = _strokes(x, y, [SEGMENTS[s] for s in BARS[int(digit)]])
    return {name: t.astype(np.float32) for name, t in tables.items()}


OUTLINES = _outlines()

# ------------------------------------------------------------------------------------------------------------- scenes


def smart_resize(height, width, low=MIN_PIXELS, high=MAX_PIXELS):
    """The size Qwen3-VL's image processor gives a picture: multiples of 32, pixels within the limits."""
    h, w = max(round(height / FACTOR), 1) * FACTOR, max(round(width / FACTOR), 1) * FACTOR
    if h * w > high:
        beta = (height * width / high) ** 0.5
        h, w = (max(int(s / beta // FACTOR), 1) * FACTOR for s in (height, width))
    elif h * w < low:
        beta = (low / (height * width)) ** 0.5
        h, w = (int(np.ceil(s * beta / FACTOR)) * FACTOR for s in (height, width))
    return h, w


def _native_size(rng):
    """Height and width of the picture file, before the model's own resizing."""
    ratio = np.exp(rng.uniform(-0.62, 0.62))
    pixels = rng.uniform(MIN_PIXELS * 0.95, MAX_PIXELS * 1.05)
    scale = rng.uniform(0.75, 2.4) if rng.random() < 0.35 else 1.0
    height, width = (pixels * ratio) ** 0.5 * scale, (pixels / ratio) ** 0.5 * scale
    return int(round(height)), int(round(width))


def _spread(rng, radii, length, gap):
    """Places along a line for discs of these radii, with at least `gap` between neighbours and at the ends."""
    slack = length - 2 * sum(radii) - gap * (len(radii) + 1)
    parts = np.diff(np.concatenate([[0], np.sort(rng.uniform(0, 1, len(radii))), [1]])) * slack
    places, at = [], 0.0
    for r, part in zip(radii, parts):
        at += part + gap + r
        places.append(at)
        at += r
    return np.array(places)


def _line_layout(rng, n, height, width, along_x):
    """A row (or column): neighbours well apart along it, and the scatter across it clearly smaller."""
    length, across = (width, height) if along_x else (height, width)
    radii = rng.uniform(13, 34, n)
    radii *= min(1.0, (length - 5 * (n + 1)) / (2 * radii.sum()), (across - 8) / (2 * radii.max()))
    main = _spread(rng, radii, length, 5)
    limit = (main[-1] - main[0]) / 1.7 if n > 1 else across
    centre = rng.uniform(radii.max() + 4, across - radii.max() - 4)
    other = np.clip(centre + rng.uniform(-0.5, 0.5, n) * limit, radii + 3, across - radii - 3)
    return (main, other, radii) if along_x else (other, main, radii)


def _quad_layout(rng, height, width):
    """Two over two, in reading order."""
    cx, cy = rng.uniform(0.44, 0.56) * width, rng.uniform(0.44, 0.56) * height
    boxes = [(0, 0, cx, cy), (cx, 0, width, cy), (0, cy, cx, height), (cx, cy, width, height)]
    xs, ys, radii = [], [], []
    for x0, y0, x1, y1 in boxes:
        r = min(rng.uniform(13, 30), (min(x1 - x0, y1 - y0) - 9) / 2)
        xs.append(rng.uniform(x0 + r + 4, x1 - r - 4))
        ys.append(rng.uniform(y0 + r + 4, y1 - r - 4))
        radii.append(r)
    return np.array(xs), np.array(ys), np.array(radii)


def _identities(rng, n, background):
    """n distinct pairs of kind and colour that show on the background; often sharing a kind or a colour."""
    colours = [c for c in range(len(COLOUR_NAMES)) if COLOUR_NAMES[c] != background]
    weights = np.array([1.0] * 7 + [1.8])
    kind, colour = lambda: int(rng.choice(8, p=weights / weights.sum())), lambda: int(rng.choice(colours))
    chosen, repeat = [], rng.random()
    while len(chosen) < n:
        pair = [kind(), colour()]
        if chosen and repeat < 0.25:
            pair[0] = chosen[0][0] if rng.random() < 0.7 else pair[0]
        elif chosen and repeat < 0.42:
            pair[1] = chosen[0][1] if rng.random() < 0.7 else pair[1]
        if pair not in [c[:2] for c in chosen]:
            chosen.append(pair)
    return [(k, c, int(rng.integers(10)) if k == DIGIT_KIND else -1) for k, c in chosen]


def make_scene(rng, counts=(0.2, 0.34, 0.28, 0.18)):
    """Invent a scene.  `counts` are the chances of one, two, three and four objects."""
    native = _native_size(rng)
    height, width = smart_resize(*native)                   # lay out in the pixels the model will see
    n = 1 + int(rng.choice(4, p=counts))
    if n == 4:
        layout, places = "quad", _quad_layout(rng, height, width)
    else:
        along_x = rng.random() < width / (width + height)
        layout = "row" if along_x else "column"
        places = _line_layout(rng, n, height, width, along_x)
    background = BACKGROUND_NAMES[int(rng.integers(len(BACKGROUND_NAMES)))]
    objects = []
    for (kind, colour, digit), x, y, r in zip(_identities(rng, n, background), *places):
        objects.append(dict(kind=KINDS[kind], colour=COLOUR_NAMES[colour], digit=digit, x=float(x / width),
                            y=float(y / height), rx=float(r / width), ry=float(r / height)))
    return dict(background=background, layout=layout, objects=objects, native=native, model=(height, width))


# ----------------------------------------------------------------------------------------------------------- pictures


def _paint_background(rng, name, height, width, rough):
    """The ground: a plain colour with a little hue of its own, a gradient, soft patches and grain."""
    colour = np.array(BACKGROUNDS[name], np.float32) + rng.uniform(-9, 9, 3)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.24 if rough else 0.12)
    y, x = np.linspace(-.5, .5, height)[:, None], np.linspace(-.5, .5, width)[None]
    light = 1 + strength * (np.cos(angle) * x + np.sin(angle) * y)
    if rough:
        patches = (rng.random((4, 4)) * 255).astype(np.uint8)
        soft = np.asarray(Image.fromarray(patches).resize((width, height), Image.BICUBIC), np.float32) / 255
        light = light * (1 + rng.uniform(0, 0.14) * (soft - 0.5))
    return np.ones((height, width, 1), np.float32) * colour, light.astype(np.float32)[..., None]


def _alpha(rng, item, height, width):
    """Coverage of one object and the box it fills: (alpha, top, left)."""
    rx, ry = item["rx"] * width, item["ry"] * height
    cx, cy = item["x"] * width, item["y"] * height
    x0, x1 = max(int(cx - rx * 1.25), 0), min(int(cx + rx * 1.25) + 2, width)
    y0, y1 = max(int(cy - ry * 1.25), 0), min(int(cy + ry * 1.25) + 2, height)
    u = ((np.arange(x0, x1) + 0.5 - cx) / rx)[None].astype(np.float32)
    v = ((np.arange(y0, y1) + 0.5 - cy) / ry)[:, None].astype(np.float32)
    tilt = np.radians(rng.uniform(-14, 14))
    c, s = np.cos(tilt), np.sin(tilt)
    uu, vv = c * u + s * v, c * v - s * u
    name, thick = item["kind"], 0.0
    if item["kind"] == "digit":
        name = ("bars" if rng.random() < 0.2 else "digit") + str(item["digit"])
        thick, uu, vv = rng.uniform(0.15, 0.24), uu * rng.uniform(1.0, 1.25), vv * 1.12
    scale = TABLE / (2 * EXTENT)
    at = lambda z: np.clip(((z + EXTENT) * scale).astype(np.int32), 0, TABLE - 1)
    distance = OUTLINES[name][at(vv), at(uu)] - thick
    return np.clip(0.5 - distance * (rx * ry) ** 0.5, 0, 1), y0, x0


def _grain(rng, picture, sigma):
    """Add noise of this strength, from a small table read at a random place."""
    size = picture.size
    start = int(rng.integers(_NOISE.size - size))
    picture += _NOISE[start:start + size].reshape(picture.shape) * sigma
    return picture


_NOISE = np.random.default_rng(1).normal(size=1 << 20).astype(np.float32)


def draw_scene(rng, scene, size=None, rough=None):
    """Paint a scene: uint8 [height, width, 3].  A third, or by wish, look photographed: soft, grainy, unevenly lit."""
    height, width = size or scene["native"]
    rough = rng.random() < 0.35 if rough is None else rough
    canvas, light = _paint_background(rng, scene["background"], height, width, rough)
    shadow = rough and rng.random() < 0.4
    for item in scene["objects"]:
        alpha, y0, x0 = _alpha(rng, item, height, width)
        h, w = alpha.shape
        if shadow:
            sy, sx = min(y0 + max(height // 70, 1), height - h), min(x0 + max(width // 70, 1), width - w)
            canvas[sy:sy + h, sx:sx + w] *= 1 - 0.25 * alpha[..., None]
        colour = np.array(COLOURS[item["colour"]], np.float32) + rng.uniform(-10, 10, 3)
        part = canvas[y0:y0 + h, x0:x0 + w]
        part += alpha[..., None] * (colour.astype(np.float32) - part)
    canvas *= light
    _grain(rng, canvas, rng.uniform(2, 11) if rough else rng.uniform(0, 4))
    picture = np.clip(canvas, 0, 255).astype(np.uint8)
    return _photograph(rng, picture) if rough else picture


def _photograph(rng, picture):
    """Blur a little or pass through JPEG, as a camera would."""
    image = Image.fromarray(picture)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9))))
    if rng.random() < 0.5:
        store = io.BytesIO()
        image.save(store, "JPEG", quality=int(rng.integers(45, 90)))
        image = Image.open(store)
    return np.asarray(image.convert("RGB"))
