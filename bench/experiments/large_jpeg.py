"""Writes a JPEG of as many pixels as a camera's, in no time: one row of blocks over and over, as restart markers allow."""
import random
import struct

STEP = 16           # of all coefficients
BLOCK_AC = 8        # coefficients of a block that are not 0, besides its mean
MOST_RUN, MOST_SIZE = 5, 4
# Codes of one length each: the tables of JPEG may be anybody's, and a decoder has as much work with these.
DC_BITS, AC_BITS = 4, 5
AC_SYMBOLS = [0] + [run << 4 | size for run in range(MOST_RUN + 1) for size in range(1, MOST_SIZE + 1)]  # 0 ends a block
SUBSAMPLED = 16     # pixels a side of a unit: four blocks of brightness, one of each colour


def segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def huffman_table(place, length, symbols):
    """All codes of `length` bits, in the order of the symbols."""
    return bytes([place]) + bytes(len(symbols) if bits == length else 0 for bits in range(1, 17)) + bytes(symbols)


def value_bits(value):
    """The bits of a coefficient behind its code, as many as its category says."""
    size = abs(value).bit_length()
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""


def block_bits(rng, mean_change):
    bits = [f"{abs(mean_change).bit_length():0{DC_BITS}b}", value_bits(mean_change)]
    for _ in range(BLOCK_AC):
        size = rng.randint(1, MOST_SIZE)
        value = rng.choice((-1, 1)) * rng.randrange(1 << (size - 1), 1 << size)
        bits += [f"{AC_SYMBOLS.index(rng.randint(0, MOST_RUN) << 4 | size):0{AC_BITS}b}", value_bits(value)]
    return "".join([*bits, f"{0:0{AC_BITS}b}"])


def row_of_units(count, rng):
    """Entropy-coded bytes, padded with ones and stuffed."""
    means, bits = [0, 0, 0], []
    for _ in range(count):
        for component in (0, 0, 0, 0, 1, 2):
            mean = rng.randint(-40, 40)
            bits.append(block_bits(rng, mean - means[component]))
            means[component] = mean
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def write_jpeg(path, width, height, comment):
    """Half the colour resolution, as cameras write it. Another comment makes another file of the same picture."""
    across, down = -(-width // SUBSAMPLED), -(-height // SUBSAMPLED)
    row = row_of_units(across, random.Random(1))
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0])
    path.write_bytes(b"".join([
        b"\xff\xd8", segment(0xFE, comment.encode()), segment(0xDB, bytes([0] + 64 * [STEP])), segment(0xC0, frame),
        segment(0xC4, huffman_table(0x00, DC_BITS, range(12))), segment(0xC4, huffman_table(0x10, AC_BITS, AC_SYMBOLS)),
        segment(0xDD, struct.pack(">H", across)), segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
        b"".join(row + (bytes([0xFF, 0xD0 + i % 8]) if i + 1 < down else b"") for i in range(down)), b"\xff\xd9"]))
