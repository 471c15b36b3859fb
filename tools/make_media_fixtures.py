#!/usr/bin/env python3
"""Makes the pictures and videos under tests/data/media/ and the pixels Pillow decodes from the pictures.

    make_media_fixtures.py pictures FOLDER    needs Pillow 12 and numpy
    make_media_fixtures.py videos FOLDER      needs the ffmpeg program with libx264, libtheora and libvpx
    make_media_fixtures.py expected FOLDER    needs Pillow 12 and numpy; after the other two

`expected` writes NAME.rgb beside each picture and manifest.json: name, width, height. The expected pixels are those of
Pillow's convert("RGB") after exif_transpose, with one deviation: grey of 16 bits is reduced to its high byte, as
Pillow itself reduces colour, where its conversion clips at 255.
"""
import io
import json
import os
import struct
import subprocess
import sys
import zlib

WIDTH, HEIGHT = 19, 13
FRAME_WIDTH, FRAME_HEIGHT = 64, 32


def colours():
    import numpy as np

    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack([x * 11, y * 15, (x * 7 + y * 9) % 256], -1)
    rgb[3:8, 4:10] = (250, 30, 60)
    rgb[7:12, 10:17] = (10, 200, 240)
    return rgb.astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_rows(samples, depth):
    """Filter byte 0 and samples of `depth` bits for each row; samples: [rows, columns, channels]."""
    rows = []
    for row in samples:
        flat = [int(v) for v in row.reshape(-1)]
        if depth == 16:
            rows.append(b"\0" + b"".join(struct.pack(">H", v) for v in flat))
            continue
        bits = "".join(format(v, f"0{depth}b") for v in flat)
        bits += "0" * (-len(bits) % 8)
        rows.append(b"\0" + bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)))
    return b"".join(rows)


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def png(samples, depth, colour_type, extra=b"", interlaced=False):
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    if interlaced:
        passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7]
        raw = b"".join(packed_rows(part, depth) for part in passes if part.size)
    else:
        raw = packed_rows(samples, depth)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw, 9)) +
            chunk(b"IEND", b""))


def png_files():
    import numpy as np

    rgb = colours().astype(np.int64)
    grey = rgb.mean(-1, keepdims=True).astype(np.int64)
    alpha = (np.indices((HEIGHT, WIDTH)).sum(0) * 6 % 256)[..., None]
    wide = rgb * 257 - (rgb > 128) * 77 + 13 * (rgb < 99)
    wide_grey = grey * 256 + (255 - grey)
    files = {}
    for depth in (1, 2, 4, 8):
        files[f"grey{depth}"] = png(grey >> (8 - depth), depth, 0)
        palette = bytes((i * 37 * (c + 1) + 11) % 256 for i in range(2 ** depth) for c in range(3))
        indices = (grey >> (8 - depth)) if depth < 8 else grey
        files[f"palette{depth}"] = png(indices, depth, 3, chunk(b"PLTE", palette))
        transparent = chunk(b"PLTE", palette) + chunk(b"tRNS", bytes([0, 128]))
        files[f"palette{depth}_trns_adam7"] = png(indices, depth, 3, transparent, interlaced=True)
    files["grey16"] = png(wide_grey, 16, 0)
    files["grey8_trns"] = png(grey, 8, 0, chunk(b"tRNS", struct.pack(">H", int(grey[0, 0, 0]))))
    files["grey4_adam7"] = png(grey >> 4, 4, 0, interlaced=True)
    files["rgb8"] = png(rgb, 8, 2)
    files["rgb8_trns"] = png(rgb, 8, 2, chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb[0, 0]))))
    files["rgb8_adam7"] = png(rgb, 8, 2, interlaced=True)
    files["rgb16"] = png(wide, 16, 2)
    files["grey_alpha8"] = png(np.concatenate([grey, alpha], -1), 8, 4)
    files["grey_alpha16"] = png(np.concatenate([wide_grey, alpha * 256], -1), 16, 4)
    files["rgba8"] = png(np.concatenate([rgb, alpha], -1), 8, 6)
    files["rgba16_adam7"] = png(np.concatenate([wide, alpha * 256], -1), 16, 6, interlaced=True)
    files["exif6"] = png(rgb, 8, 2, chunk(b"eXIf", exif(6, "MM")))
    bomb = zlib.compress(bytes(3 << 20), 9)
    files["profile_bomb"] = png(rgb, 8, 2, chunk(b"iCCP", b"x\0\0" + bomb))
    files["text_bomb"] = png(rgb, 8, 2, chunk(b"zTXt", b"Comment\0\0" + bomb))
    animation = (chunk(b"acTL", struct.pack(">II", 2, 0)) +
                 chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)))
    files["animated"] = png(rgb, 8, 2, animation)
    return {f"{name}.png": data for name, data in files.items()}


def exif(orientation, order="II"):
    mark = "<" if order == "II" else ">"
    entry = struct.pack(mark + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return order.encode() + struct.pack(mark + "HIH", 42, 8, 1) + entry + struct.pack(mark + "I", 0)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def segment(data, marker):
    """Begin and end of the first JPEG segment with this marker."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return at, at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]


def jpeg_files():
    import numpy as np
    from PIL import Image

    image = Image.fromarray(colours())
    files = {f"sub{name}": saved(image, "JPEG", quality=85, subsampling=index)
             for index, name in enumerate(("444", "422", "420"))}
    files["progressive"] = saved(image, "JPEG", quality=80, progressive=True)
    files["progressive422"] = saved(image, "JPEG", quality=80, progressive=True, subsampling=1)
    files["optimized_q20"] = saved(image, "JPEG", quality=20, optimize=True)
    files["restarts"] = saved(image, "JPEG", quality=85, restart_marker_blocks=1)
    files["rgb"] = saved(image, "JPEG", quality=85, keep_rgb=True)
    files["grey"] = saved(image.convert("L"), "JPEG", quality=85)
    files["grey_progressive"] = saved(image.convert("L"), "JPEG", quality=85, progressive=True)
    black = np.indices((HEIGHT, WIDTH)).sum(0)[..., None] * 5 % 256
    cmyk = np.concatenate([255 - colours(), black.astype(np.uint8)], -1)
    adobe = saved(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=90)
    begin, end = segment(adobe, 0xEE)
    files["cmyk_adobe"] = adobe
    files["cmyk_plain"] = adobe[:begin] + adobe[end:]
    files["ycck"] = adobe[:end - 1] + b"\2" + adobe[end:]
    for orientation in range(1, 9):
        data = b"Exif\0\0" + exif(orientation, "MM" if orientation % 2 else "II")
        files[f"exif{orientation}"] = saved(image, "JPEG", quality=60, exif=data)
    files["exif_value9"] = saved(image, "JPEG", quality=60, exif=b"Exif\0\0" + exif(9))
    files["trailing_bytes"] = files["sub420"] + b"more bytes \xff\xd8\xff\xe0 behind the end"
    files["long_profile"] = saved(image, "JPEG", quality=60, icc_profile=bytes(range(256)) * 8)
    return {f"{name}.jpg": data for name, data in files.items()}


def webp_and_gif_files():
    import numpy as np
    from PIL import Image

    image = Image.fromarray(colours())
    clear = image.copy()
    clear.putalpha(Image.fromarray((np.indices((HEIGHT, WIDTH)).sum(0) * 6 % 256).astype(np.uint8)))
    other = Image.fromarray(255 - colours())
    files = {
        "lossy.webp": saved(image, "WEBP", quality=70),
        "lossless.webp": saved(image, "WEBP", lossless=True),
        "lossy_alpha.webp": saved(clear, "WEBP", quality=70),
        "lossless_alpha.webp": saved(clear, "WEBP", lossless=True, exact=True),
        "animated.webp": saved(image, "WEBP", save_all=True, append_images=[other], duration=100, lossless=True),
        "animated_alpha.webp": saved(clear, "WEBP", save_all=True, append_images=[other], duration=100, quality=60),
        "exif8.webp": saved(image, "WEBP", quality=70, exif=b"Exif\0\0" + exif(8)),
    }
    few = image.quantize(13)
    plain = saved(few, "GIF", interlace=0)
    files["plain.gif"] = plain
    files["interlaced.gif"] = saved(few, "GIF", interlace=1)
    files["grey.gif"] = saved(image.convert("L"), "GIF")
    files["transparent.gif"] = saved(few, "GIF", transparency=3)
    files["animated.gif"] = saved(few, "GIF", save_all=True, append_images=[other.quantize(13)], duration=50)
    # The same frame on a larger screen, away from its corner; and one that reaches beyond its screen.
    at = plain.index(b"\x2c", 13 + 3 * 2 ** ((plain[10] & 7) + 1))
    moved = bytearray(plain)
    moved[6:10] = struct.pack("<HH", WIDTH + 5, HEIGHT + 4)
    moved[at + 1:at + 5] = struct.pack("<HH", 3, 2)
    files["moved.gif"] = bytes(moved)
    beyond = bytearray(plain)
    beyond[6:10] = struct.pack("<HH", WIDTH - 5, HEIGHT - 6)
    files["beyond.gif"] = bytes(beyond)
    return files


def make_pictures(folder):
    for name, data in {**png_files(), **jpeg_files(), **webp_and_gif_files()}.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(data)


def frame(number):
    """The tests know this formula."""
    return bytes((16 * number + (5 * x, 4 * y, x + y)[c]) % 256
                 for y in range(FRAME_HEIGHT) for x in range(FRAME_WIDTH) for c in range(3))


def encode(path, frames, options, rate="4"):
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s",
               f"{FRAME_WIDTH}x{FRAME_HEIGHT}", "-r", rate, "-i", "-", "-bitexact", *options, path]
    subprocess.run(command, input=b"".join(frames), check=True)


def make_videos(folder):
    def path(name):
        return os.path.join(folder, name)

    def ffmpeg(*arguments):
        subprocess.run(["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *arguments], check=True)

    frames = [frame(number) for number in range(11)]
    lossless = ["-c:v", "libx264rgb", "-qp", "0", "-preset", "veryslow", "-x264-params", "info=0"]
    encode(path("frames11.mp4"), frames, lossless + ["-bf", "2"])
    encode(path("frames8.mkv"), frames[:8], ["-c:v", "ffv1", "-level", "3", "-slices", "4", "-pix_fmt", "bgr0"])
    encode(path("frame1.mp4"), frames[:1], lossless)
    ffmpeg("-i", path("frame1.mp4"), "-c", "copy", "-bitexact", "-metadata:s:v", "rotate=90", path("rotated.mp4"))
    # The cut begins between key frames: the container holds packets that are not shown.
    ffmpeg("-ss", "1", "-i", path("frames11.mp4"), "-c", "copy", "-bitexact", path("cut.mp4"))
    solid = [bytes((200, 60, 30)) * (FRAME_WIDTH * FRAME_HEIGHT)] * 4
    for matrix, range_name in (("bt709", "tv"), ("bt601", "tv"), ("bt601", "pc")):
        tag = {"bt709": "bt709", "bt601": "smpte170m"}[matrix]
        scale = f"scale=out_color_matrix={matrix}:out_range={range_name}:flags=accurate_rnd"
        encode(path(f"solid_{matrix}_{range_name}.mp4"), solid,
               ["-vf", scale, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "1", "-colorspace", tag,
                "-color_range", range_name, "-x264-params", "info=0"])
    encode(path("motion_jpeg.avi"), frames[:3], ["-c:v", "mjpeg", "-q:v", "9"])
    encode(path("theora.ogv"), frames[:4], ["-c:v", "libtheora", "-q:v", "5"])
    encode(path("vp9.webm"), frames[:4], ["-c:v", "libvpx-vp9", "-b:v", "20k"])
    encode(path("sorenson.flv"), frames[:4], ["-c:v", "flv1"])
    encode(path("mpeg2.ts"), frames[:6], ["-c:v", "mpeg2video"], rate="25")
    encode(path("second.mpg"), frames[:6], ["-c:v", "mpeg2video", "-vf", "scale=48:48"], rate="25")
    encode(path("first.mpg"), frames[:6], ["-c:v", "mpeg2video"], rate="25")
    with open(path("changing.mpg"), "wb") as out:
        for name in ("first.mpg", "second.mpg"):
            with open(path(name), "rb") as part:
                out.write(part.read())
            os.remove(path(name))
    encode(path("unsupported.avi"), frames[:1], ["-c:v", "cinepak"])
    ffmpeg("-f", "lavfi", "-i", "color=s=15000x15000:r=1:d=1", "-c:v", "libvpx-vp9", "-b:v", "1k", "-bitexact",
           path("huge_frame.webm"))
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", "-c:a", "aac", "-b:a", "16k", "-bitexact", path("audio_only.m4a"))
    ffmpeg("-i", path("audio_only.m4a"), "-i", path("rgb8.png"), "-map", "0", "-map", "1", "-c:a", "copy", "-c:v",
           "mjpeg", "-disposition:v", "attached_pic", "-bitexact", path("cover_only.m4a"))
    for layout in ("440", "411"):
        ffmpeg("-i", path("rgb8.png"), "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", f"yuvj{layout}p", "-strict",
               "unofficial", "-bitexact", "-f", "image2", "-update", "1", path(f"sub{layout}.jpg"))


def make_expected(folder):
    import numpy as np
    from PIL import Image, ImageOps, PngImagePlugin

    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 << 20  # some fixtures unpack to megabytes
    manifest = []
    for name in sorted(os.listdir(folder)):
        if not name.endswith((".png", ".jpg", ".webp", ".gif")):
            continue
        image = Image.open(os.path.join(folder, name))
        if image.mode.startswith("I;16"):
            grey = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
            rgb = grey.convert("RGB")
        else:
            rgb = ImageOps.exif_transpose(image).convert("RGB")
        with open(os.path.join(folder, name + ".rgb"), "wb") as out:
            out.write(rgb.tobytes())
        manifest.append({"name": name, "width": rgb.width, "height": rgb.height})
    with open(os.path.join(folder, "manifest.json"), "w") as out:
        json.dump(manifest, out, indent=1)
        out.write("\n")


def main():
    stages = {"pictures": make_pictures, "videos": make_videos, "expected": make_expected}
    if len(sys.argv) != 3 or sys.argv[1] not in stages:
        sys.exit(__doc__)
    os.makedirs(sys.argv[2], exist_ok=True)
    stages[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    main()
