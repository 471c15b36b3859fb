"""The pictures that experiments ask about. Needs Pillow (bench/requirements.txt), but only to write them."""


def write_png(path, width, height, rng):
    """Colour gradients: quick to write, and no two alike."""
    shift = rng.randrange(256)
    row = bytes((3 * x + shift * (x % 3)) & 255 for x in range(3 * width))
    write_pixels(path, width, height, b"".join(row[3 * (y % width):] + row[:3 * (y % width)] for y in range(height)))


def write_picture(path, side, comment=""):
    """A PNG that has something everywhere. Another comment makes another file of the same picture."""
    write_pixels(path, side, side, bytes(v for y in range(side) for x in range(side)
                                         for v in ((x * y) >> 4 & 255, x & 255, y & 255)), comment)


def write_pixels(path, width, height, pixels, comment=""):
    from PIL import Image, PngImagePlugin
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", comment)
    Image.frombytes("RGB", (width, height), pixels).save(path, pnginfo=words, compress_level=1)


def write_jpeg(path, width, height, comment):
    """Noise as a camera has it, in half the colour resolution. Another comment makes another file."""
    from PIL import Image
    noise = [Image.effect_noise((width, height), sigma) for sigma in (20, 10, 10)]
    Image.merge("YCbCr", noise).save(path, "JPEG", quality=85, subsampling="4:2:0", comment=comment)
