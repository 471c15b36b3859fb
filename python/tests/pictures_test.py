"""Pictures that are no files: borrowed, judged before they are read, under the cap, named in errors."""
import gc
import os
import resource
import subprocess
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

import numpy

import qvl
from qvl import _core

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
MODEL = SOURCE / "models" / "shapes"
HEART = SOURCE / "examples" / "blue-heart.png"
QUESTION = "Describe this picture."
HEART_ANSWER = "A blue heart on a black background."
EXPECTED = "expected uint8 [height, width, 3 or 4]"


def pixels_of_heart() -> numpy.ndarray:
    """Much like the picture: [224, 128, 3]."""
    rows, columns = numpy.mgrid[:224, :128]
    pixels = numpy.zeros((224, 128, 3), numpy.uint8)
    pixels[abs(rows - 112) + abs(columns - 64) < 48] = (40, 60, 230)
    return pixels


def grey(*shape: int) -> numpy.ndarray:
    """An array of any size that takes no memory."""
    return numpy.broadcast_to(numpy.uint8(100), shape)


class Picture:
    """A stand-in for PIL.Image.Image: [height, width, samples]."""

    def __init__(self, pixels, mode="RGB", broken=None):
        self.pixels, self.mode, self.broken, self.loaded = pixels, mode, broken, False

    @property
    def size(self):
        return self.pixels.shape[1], self.pixels.shape[0]

    def load(self):
        self.loaded = True

    def crop(self, box):
        if self.broken:
            raise self.broken
        left, top, right, bottom = box
        return Picture(self.pixels[top:bottom, left:right], self.mode)

    def convert(self, mode):
        return Picture(self.pixels[:, :, :3], mode)

    def tobytes(self):
        return self.pixels.tobytes()


class PicturesTest(unittest.TestCase):
    def setUp(self):
        self.model = qvl.load_model(MODEL, cache_folder="")
        self.pipeline = qvl.OptimizedInferencePipeline(self.model)
        self.addCleanup(self.pipeline.cleanup)
        pil = types.SimpleNamespace(Image=Picture)
        patch = mock.patch.dict(sys.modules, {"PIL.Image": pil})
        patch.start()
        self.addCleanup(patch.stop)

    def origins(self, *images):
        return [medium.features for medium in self.pipeline.run_inference(QUESTION, images=list(images), max_tokens=1).media]

    def refusal(self, kind, *images):
        with self.assertRaises(kind) as caught:
            self.pipeline.run_inference(QUESTION, images=list(images))
        return str(caught.exception)

    def test_equal_pixels_are_one_picture_in_whatever_form_they_lie(self):
        pixels = pixels_of_heart()
        self.assertEqual(self.origins(pixels), ["computed"])
        frozen = pixels.copy()
        frozen.flags.writeable = False
        transparent = numpy.dstack([pixels, numpy.full((224, 128), 7, numpy.uint8)])
        forms = {
            "as it is": pixels, "read-only": frozen, "transparent": transparent, "upside down": pixels[::-1].copy()[::-1],
            "mirrored": pixels[:, ::-1].copy()[:, ::-1], "blue first": pixels[:, :, ::-1].copy()[:, :, ::-1],
            "by columns": numpy.asfortranarray(pixels), "cut out": numpy.pad(pixels, ((3, 5), (2, 9), (0, 0)))[3:-5, 2:-9],
            "PIL": Picture(pixels), "transparent PIL": Picture(transparent, "RGBA")}
        for index, (name, form) in enumerate(forms.items()):
            with self.subTest(name):
                self.assertEqual(self.pipeline.plan(QUESTION, images=[form])["media"][0]["kept"], True)
                # behind a picture that is new, so that keys and values are not kept as well
                self.assertEqual(self.origins(grey(128, 160 + index, 3), form), ["computed", "memory"])
        changed = pixels.copy()
        changed[-1, -1, -1] ^= 1
        self.assertEqual(self.origins(changed), ["computed"])

    def test_bytes_of_a_file_are_the_file(self):
        data = HEART.read_bytes()
        for form in (data, bytearray(data), memoryview(data)):
            answer = self.pipeline.run_inference(QUESTION, images=[form])
            self.assertEqual((answer.text, answer.media[0].path), (HEART_ANSWER, "images[0]"))
        self.assertEqual(self.origins(bytearray(data), HEART), ["memory", "memory"])

    def test_is_judged_before_it_is_read(self):
        wrong = [
            (ValueError, 3, "found int, expected a path, the bytes of a file, a picture of PIL or an array of NumPy"),
            (ValueError, memoryview(b"abcd")[::2], "found a memoryview with gaps, expected one that is contiguous"),
            (ValueError, numpy.broadcast_to(0.5, (1 << 20, 1 << 20, 3)), f"found an array of float64 [1048576, 1048576, 3], {EXPECTED}"),
            (ValueError, grey(8, 8), f"found an array of uint8 [8, 8], {EXPECTED}"),
            (ValueError, grey(8, 8, 2), f"found an array of uint8 [8, 8, 2], {EXPECTED}"),
            (ValueError, grey(0, 8, 3), f"found an array of uint8 [0, 8, 3], {EXPECTED}"),
            (qvl.LimitError, grey(1 << 20, 1 << 20, 3), "1048576x1048576 pixels, at most 16384 allowed on a side"),
            (qvl.LimitError, grey(8000, 8001, 3), "8001x8000 pixels, at most 64000000 allowed in all"),
            (qvl.MediaError, grey(1, 201, 4), "201x1 pixels, one side at most 200 times the other allowed"),
            (ValueError, Picture(grey(8, 8, 2), mode="I;16"),
             "found a picture of PIL in mode I;16, expected 8 bits a sample: scale it, or give its file"),
            (qvl.LimitError, Picture(grey(16, 1 << 20, 3)), "1048576x16 pixels, at most 16384 allowed on a side")]
        for kind, image, message in wrong:
            with self.subTest(message), self.assertRaises(kind) as caught:
                self.pipeline.submit(QUESTION, images=[HEART, image])
            self.assertEqual(str(caught.exception), f"images[1]: {message}")
        self.assertFalse(wrong[-1][1].loaded)
        self.assertEqual(self.refusal(qvl.LimitError, bytes((64 << 20) + 1)), "images[0]: 67108865 bytes, at most 67108864 allowed")
        self.assertEqual(self.refusal(qvl.MediaError, HEART, b"no picture"),
                         "images[1]: found no known picture format, expected JPEG, PNG, WebP or GIF")

    def test_what_cannot_be_read_is_named(self):
        class Unloadable(Picture):
            def load(self):
                raise self.broken

        pixels = pixels_of_heart()
        self.assertEqual(self.refusal(qvl.MediaError, HEART, Picture(pixels, broken=OSError("cut\noff"))),
                         "images[1]: its pixels cannot be read: found OSError('cut\\noff')")
        self.assertEqual(self.refusal(qvl.LimitError, Picture(pixels, broken=MemoryError())),
                         "not enough memory to read the picture images[0]")
        self.assertEqual(self.refusal(qvl.MediaError, Unloadable(pixels, broken=OSError("gone"))),
                         "images[0]: its pixels cannot be read: found OSError('gone')")
        self.assertEqual(self.refusal(qvl.LimitError, Unloadable(pixels, broken=MemoryError())),
                         "images[0]: not enough memory to read this picture of PIL")
        self.assertEqual(self.refusal(qvl.MediaError, Picture(pixels, mode="CMYK").convert("RGB"), Picture(pixels[:, :, :2])),
                         "images[1]: its pixels cannot be read: found 57344 bytes, expected 86016")

    def test_a_picture_that_changes_while_it_is_read_fails(self):
        class Flickering(Picture):
            def crop(self, box):
                self.pixels = self.pixels + numpy.uint8(1)
                return super().crop(box)

        class Shrinking(Picture):
            def crop(self, box):
                rows = super().crop(box)
                self.pixels = self.pixels[:100]
                return rows
        self.assertEqual(self.refusal(qvl.MediaError, Flickering(pixels_of_heart())),
                         "images[0]: became another picture while it was read")
        self.assertEqual(self.refusal(qvl.MediaError, Shrinking(pixels_of_heart())),
                         "images[0]: its pixels cannot be read: found ValueError('(128, 100) pixels instead of (128, 224)')")

    def test_is_let_go_before_the_result_is_there(self):
        pixels, data = pixels_of_heart(), bytearray(HEART.read_bytes())
        picture = Picture(pixels)
        before = [sys.getrefcount(each) for each in (pixels, picture)]
        kept = [self.pipeline.submit(QUESTION, images=[pixels, picture, data]) for _ in range(3)]
        kept.append(self.pipeline.submit(QUESTION, images=[pixels, picture, data, b"no picture"]))
        for stream in kept[:-1]:
            stream.result()
        with self.assertRaises(qvl.MediaError):
            kept[-1].result()
        cancelled = self.pipeline.submit(QUESTION, images=[pixels, picture, data])
        cancelled.cancel()
        cancelled.result()
        self.pipeline.plan(QUESTION, images=[pixels, picture, data])
        gc.collect()  # tracebacks
        self.assertEqual([sys.getrefcount(each) for each in (pixels, picture)], before)
        data.append(0)  # which is refused as long as somebody looks at its bytes

    def test_takes_no_descriptors_and_stays_under_the_cap(self):
        """Forty large ones, of which one fits at a time."""
        model = qvl.load_model(MODEL, cache_folder="", memory_limit="200MiB")
        with qvl.OptimizedInferencePipeline(model) as pipeline:
            pipeline.run_inference(QUESTION, images=[HEART])
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            opened = len(os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 8, hard))
            try:
                streams = [pipeline.submit(QUESTION, images=[grey(4000, 4000 - index, 3)], max_image_tokens=64, max_tokens=2)
                           for index in range(40)]
                answers = [stream.result() for stream in streams]
                self.assertEqual(len(os.listdir("/proc/self/fd")), opened)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertEqual([answer.media[0].features for answer in answers], ["computed"] * 40)
            memory = pipeline.get_performance_metrics()["system_optimization_report"]["memory_efficiency"]
            self.assertLessEqual(memory["peak_bytes"], 200 << 20)
            with self.assertRaises(qvl.LimitError) as caught:
                pipeline.run_inference(QUESTION, images=[grey(8000, 8000, 3)])
            self.assertRegex(str(caught.exception),
                             r"\Anot enough memory for the patches of images\[0\]: pixels 192.0 MiB: [^\n]*\Z")

    def test_pipelines_are_made_while_another_lets_pictures_go(self):
        streams = [self.pipeline.submit(QUESTION, images=[grey(64 + index, 96, 3), Picture(pixels_of_heart())])
                   for index in range(16)]
        for _ in range(8):
            qvl.OptimizedInferencePipeline(self.model).cleanup()
        for stream in streams:
            self.assertEqual([medium.path for medium in stream.result().media], ["images[0]", "images[1]"])

    def test_an_interpreter_ends_while_pictures_are_borrowed(self):
        code = f"""
import numpy, qvl
pipeline = qvl.OptimizedInferencePipeline(qvl.load_model({str(MODEL)!r}, cache_folder=""))
streams = [pipeline.submit("x", images=[numpy.full((500 + i, 700, 3), i, numpy.uint8), bytearray(10)]) for i in range(20)]
print("submitted", flush=True)
"""
        run = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "submitted\n", ""))

    def test_a_picture_may_be_the_last_to_hold_its_pipeline(self):
        self.assertEqual(self.program("""
class Upload(bytearray): pass
upload = Upload(heart)
upload.pipeline = qvl.OptimizedInferencePipeline(model, qvl.SystemOptimizationConfig(num_compute_threads=1))
stream = upload.pipeline.submit(question, images=[upload])
del upload
print(stream.result(60).finish_reason in ("cancelled", "stop"))
"""), (0, ["True"], ""))

    def test_the_collector_may_end_a_pipeline_on_a_thread_of_its_own(self):
        self.assertEqual(self.program("""
import gc
class Service:
    def __init__(self):
        self.pipeline = qvl.OptimizedInferencePipeline(model)
        self.me = self
gc.disable()
service = Service()
class Rows:
    def __call__(self, first, count):
        gc.collect()
        return bytes(128 * 3 * count)
request = _core.InferenceRequest()
request.prompt = question
request.images = [_core.Picture.of_rows("images[0]", 128, 224, Rows())]
stream = service.pipeline._engine._pipeline.submit(request)
del service
stream.wait(None)
print(stream.result().finish_reason in ("cancelled", "stop"))
"""), (0, ["True"], ""))

    def test_a_finalizer_on_a_thread_of_the_pipeline_cannot_wait_for_it(self):
        self.assertEqual(self.program("""
loaded = qvl.load_model(model)
pipeline = qvl.OptimizedInferencePipeline(loaded)
class Upload(bytearray):
    def __del__(self):
        for wait in (pipeline.cleanup, lambda: pipeline.run_inference(question), lambda: loaded.logits([1]),
                     lambda: qvl.OptimizedInferencePipeline(loaded)):
            try:
                print(wait())
            except qvl.MachineError as error:
                print(error)
upload = Upload(heart)
stream = pipeline.submit(question, images=[upload])
del upload
print(stream.result(60).text)
"""), (0, ["pipeline: cleanup: a pipeline's thread cannot wait for it",
           "request: a pipeline's thread cannot wait for it", "model: a pipeline's thread cannot wait for it",
           "pipeline: a pipeline's thread cannot wait for it", HEART_ANSWER], ""))

    @staticmethod
    def program(body):
        """(exit status, output lines, error output) of a process of its own."""
        prelude = f"import qvl\nfrom qvl import _core\nmodel = {str(MODEL)!r}\nquestion = {QUESTION!r}\n" \
                  f"heart = open({str(HEART)!r}, 'rb').read()\n"
        done = subprocess.run([sys.executable, "-B", "-c", prelude + body], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout.splitlines(), done.stderr

    def test_rows_are_bytes(self):
        request = _core.InferenceRequest()
        request.prompt, request.images = QUESTION, [_core.Picture.of_rows("images[0]", 8, 8, lambda first, count: "text")]
        engine = _core.Pipeline(self.model._loaded, self.pipeline.config)
        with self.assertRaises(qvl.MediaError) as caught:
            engine.submit(request).result()
        self.assertEqual(str(caught.exception), "images[0]: its pixels cannot be read: found no bytes")


if __name__ == "__main__":
    unittest.main()
