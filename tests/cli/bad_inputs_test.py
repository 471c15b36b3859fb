"""What must be refused: the exit code, one line on standard error that names the thing, nothing on standard output."""

import json
import os
import resource
import struct
import unittest
import zlib

from program import IMAGE, MEDIA, MODEL, VIDEO, ProgramTest, qvl


def png(width, height, data=b""):
    """A PNG file with this header; `data` is what its pixels are packed from."""
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


class BadOptions(ProgramTest):
    """Exit code 2; numbers with their range."""

    RUN = ["run", "--model", MODEL]
    LOGITS = ["logits", "--model", MODEL, "--output", "never-written.npy"]

    def check(self, rows):
        for fragment, args in rows:
            with self.subTest(args=args):
                self.assertEqual(self.refused(2, fragment, *args).stdout, b"")

    def test_commands_and_options(self):
        self.check([
            ("expected a command: run, chat", []),
            ("expected a command: run, chat", ["walk"]),
            ("--bogus; see qvl run --help", [*self.RUN, "--bogus", "Q"]),
            ("--model is required", ["run", "Q"]),
            ("PROMPT is required", self.RUN),
            ("extra", [*self.RUN, "Q", "extra"]),
            ("--seed", [*self.RUN, "Q", "--seed"]),
            ("--seed", [*self.RUN, "Q", "--seed", "1", "--seed", "2"]),
            ("--image is required", ["pixels", "--model", MODEL, "--output", "never-written.npy"]),
            ("TEXT, --file, --lines: expected one of them", ["tokenize", "--model", MODEL]),
            ("TEXT, --file, --lines: expected one of them", ["tokenize", "--model", MODEL, "a", "--file", "b"]),
            ("--prompt,--tokens", self.LOGITS),
            ("--prompt,--tokens", [*self.LOGITS, "--prompt", "Q", "--tokens", "1"]),
            ("--raw requires --prompt", [*self.LOGITS, "--tokens", "1", "--raw"]),
        ])

    def test_numbers(self):
        ranges = {
            "--max-tokens": "an integer from 1 to 16777216",
            "--temperature": "a number from 0 to 100",
            "--top-k": "an integer from 0 to 16777216",
            "--top-p": "a number from 1e-06 to 1",
            "--repetition-penalty": "a number from 0.01 to 100",
            "--presence-penalty": "a number from -100 to 100",
            "--seed": "an integer from 0 to 18446744073709551615",
            "--threads": "an integer from 1 to 1024",
        }
        for option, allowed in ranges.items():
            values = ["abc", "", "1e30", "-1e9", "nan", "inf", "0x10", " 1", "1 ", "99999999999999999999", "1\n2"]
            self.check([(f"{option}: found \"", [*self.RUN, option, value, "Q"]) for value in values])
            self.check([(f"expected {allowed}", [*self.RUN, option, "1;2", "Q"])])
        self.check([
            ("--threads: found \"0\"", [*self.RUN, "--threads", "0", "Q"]),
            ("--max-tokens: found \"0\"", [*self.RUN, "--max-tokens", "0", "Q"]),
            ("--max-tokens: found \"1.5\"", [*self.RUN, "--max-tokens", "1.5", "Q"]),
            ("--temperature: found \"0,5\"", [*self.RUN, "--temperature", "0,5", "Q"]),
            ("--top-p: found \"0\"", [*self.RUN, "--top-p", "0", "Q"]),
            ("--chunk: found \"0\"", [*self.LOGITS, "--prompt", "Q", "--chunk", "0"]),
            ("--limit: found \"0\"", ["eval", "--model", MODEL, "--questions", "q", "--limit", "0"]),
        ])

    def test_values(self):
        vocabulary = json.loads((MODEL / "config.json").read_text())["text_config"]["vocab_size"]
        broken = self.folder / "broken"
        broken.write_text('"good"\n{"not": "a string"}\n')
        self.check([
            ("--video-prompt: found \"x\", expected timestamps or nested", [*self.RUN, "--video-prompt", "x", "Q"]),
            ("--tokens: found \"\"", [*self.LOGITS, "--tokens", "1,,2"]),
            ("--tokens: found \"-1\"", [*self.LOGITS, "--tokens=-1"]),
            (f"tokens: found {vocabulary}, expected 0 to {vocabulary - 1}", [*self.LOGITS, "--tokens", vocabulary]),
            ("IDS: found \"a\"", ["detokenize", "--model", MODEL, "1,a"]),
            ("IDS: found \"-1\"", ["detokenize", "--model", MODEL, "--", "-1"]),
            ("token id 999999: expected 0 to ", ["detokenize", "--model", MODEL, "1,999999"]),
            ("--video-prompt: found \"x\", expected timestamps or nested",
             ["eval", "--model", MODEL, "--questions", "q", "--video-prompt", "x"]),
            ("system: byte 1: not valid UTF-8", [*self.RUN, "--system", b"a\x80".decode("utf-8", "surrogateescape"), "Q"]),
            ("prompt: it is empty", [*self.RUN, ""]),
            ("prompt: it is empty", [*self.LOGITS, "--raw", "--prompt", ""]),
            ("prompt: byte 2: not valid UTF-8", [*self.RUN, b"ab\xff".decode("utf-8", "surrogateescape")]),
            ("stop: found a string of 0 bytes", [*self.RUN, "--stop", "", "Q"]),
            ("stop: found 17 strings", [*self.RUN, *["--stop", "x"] * 17, "Q"]),
            (f"{broken}: line 2: expected one JSON string", ["tokenize", "--model", MODEL, "--lines", broken]),
            (f"{broken}: line 1: expected an object", ["eval", "--model", MODEL, "--questions", broken]),
            ("missing.txt: cannot open", ["tokenize", "--model", MODEL, "--file", "missing.txt"]),
            ("prompt: no placeholder is left for", [*self.LOGITS, "--image", IMAGE, "--raw", "--prompt", "Q"]),
            ("prompt: more places for pictures than were given",
             [*self.LOGITS, "--image", IMAGE, "--raw", "--prompt", "<|image_pad|><|image_pad|>"]),
        ])


class BadQuestions(ProgramTest):
    """Exit code 2; the line and what is wrong with it."""

    def test_media_are_lists_of_names(self):
        path = self.folder / "questions.jsonl"
        rows = [("a.png", 'images: found "a.png", expected a list of files'), ([1], "images: found [1], expected a list of files"),
                (["a\0b"], "images: a NUL character in the name of a file")]
        for images, message in rows:
            path.write_text(json.dumps({"kind": "k", "question": "Q", "answer": "A", "images": images}) + "\n")
            result = self.refused(2, message, "eval", "--model", MODEL, "--questions", path)
            self.assertEqual(result.stderr.decode(), f"qvl: {path}: line 1: {message}\n")


class BadNames(ProgramTest):
    """Names of files that would drive a terminal, or that are none."""

    def test_control_characters_are_shown_escaped(self):
        for name, shown in (("a\x1b[31m.png", r"a\x1b[31m.png"), ("a\u009b.png", r"a\xc2\x9b.png")):
            result = self.refused(4, shown, "run", "--model", MODEL, "--image", name, "Q")
            self.assertEqual(result.stderr.decode(), f"qvl: {shown}: cannot open: No such file or directory\n")

    def test_the_empty_name(self):
        message = '"": cannot open: No such file or directory'
        self.refused(4, f"qvl: {message}", "run", "--model", MODEL, "--image", "", "Q")
        self.refused(3, f"qvl: {message}", "run", "--model", "", "Q")
        self.refused(2, f"qvl: {message}", "eval", "--model", MODEL, "--questions", "")


class BadModels(ProgramTest):
    """Exit code 3."""

    def refuse_model(self, model, fragment):
        for command in (["run", "Q"], ["inspect"]):
            self.refused(3, fragment, command[0], "--model", model, *command[1:])

    def file_changed(self, name, change):
        model = self.changed_model()
        path = model / name
        path.write_bytes(change(path.read_bytes()))
        return model

    def test_paths(self):
        (self.folder / "empty").mkdir()
        self.refuse_model(self.folder / "missing", "missing")
        self.refuse_model(self.folder / "empty", "config.json")
        self.refuse_model(MODEL / "config.json", "config.json")

    def test_weights_that_are_missing(self):
        for field, found, asked in (("depth", 5, 6), ("num_hidden_layers", 4, 5)):
            old, new = (f'"{field}": {n}'.encode() for n in (found, asked))
            model = self.file_changed("config.json", lambda b: b.replace(old, new))
            self.assertIn(new, (model / "config.json").read_bytes())
            self.refuse_model(model, "missing")

    def test_a_pipe_in_place_of_the_weights_does_not_block(self):
        model = self.changed_model()
        (model / "model.safetensors").unlink()
        os.mkfifo(model / "model.safetensors")
        self.refuse_model(model, "model.safetensors")

    def test_safetensors(self):
        for change in (lambda b: b"", lambda b: b[:5], lambda b: b[:-1], lambda b: b[:2000],
                       lambda b: bytes(8) + b[8:], lambda b: b"\xff" * 8 + b[8:], lambda b: b[:8] + b"[" + b[9:],
                       lambda b: b.replace(b"BF16", b"XX99", 1), lambda b: b.replace(b"shape", b"shapf", 1)):
            self.refuse_model(self.file_changed("model.safetensors", change), "model.safetensors")

    def test_weights_that_are_no_numbers(self):
        def spoil(data):
            header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
            tensor = header["model.language_model.norm.weight"]
            self.assertEqual(tensor["dtype"], "BF16")
            begin = len(data) - max(t["data_offsets"][1] for t in header.values() if "dtype" in t) + tensor["data_offsets"][0]
            return data[:begin] + b"\xc0\x7f" + data[begin + 2:]

        model = self.file_changed("model.safetensors", spoil)
        for command in (["run", "Q"], ["bench", "--image-sizes", "64"], ["bench", "--json"]):
            result = self.refused(3, "logit", command[0], "--model", model, *command[1:])
            self.assertEqual(result.stderr.decode(), f"qvl: {model}: the model computed a logit that is not a finite number\n")
            self.assertEqual(result.stdout, b"")

    def test_configuration(self):
        text = lambda **fields: lambda c: c["text_config"].update(fields)
        vision = lambda **fields: lambda c: c["vision_config"].update(fields)
        rows = [
            ("num_hidden_layers", text(num_hidden_layers=0)),
            ("num_hidden_layers", text(num_hidden_layers="four")),
            ("head_dim", text(head_dim=0)),
            ("num_key_value_heads", text(num_key_value_heads=3)),
            ("mrope_section", text(rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                                                    "mrope_section": [1, 1, 1], "mrope_interleaved": True})),
            ("rope_theta", text(rope_parameters={"rope_type": "default", "mrope_section": [6, 5, 5]})),
            ("image_token_id: found 754", text(vocab_size=10)),
            ("max_position_embeddings", text(max_position_embeddings=2**62)),
            ("deepstack_visual_indexes", vision(deepstack_visual_indexes=[0, 99])),
            ("patch_size", vision(patch_size=0)),
            ("model_type", lambda c: c.update(model_type="llama")),
            ("mlp.gate_proj.weight: found shape [80, 48]", text(intermediate_size=64)),
        ]
        for fragment, change in rows:
            with self.subTest(fragment=fragment):
                self.refuse_model(self.changed_model(config=change), fragment)

    def test_other_json_files(self):
        self.refuse_model(self.file_changed("config.json", lambda b: b[:-20]), "config.json")
        self.refuse_model(self.file_changed("tokenizer.json", lambda b: b"{}"), "tokenizer.json")
        self.refuse_model(self.file_changed("tokenizer.json", lambda b: b[:1000]), "tokenizer.json")
        self.refuse_model(self.file_changed("generation_config.json", lambda b: b"[1]"), "generation_config.json")
        model = self.changed_model(preprocessor_config=lambda c: c.update(patch_size=14))
        self.refuse_model(model, "patch_size")

    def test_gguf(self):
        header = lambda version, tensors, keys: b"GGUF" + struct.pack("<IQQ", version, tensors, keys)
        for data in (b"", b"GGUF", b"GGML" + bytes(20), header(99, 0, 0), header(3, 2**63, 0), header(3, 0, 2**63),
                     header(3, 0, 1) + struct.pack("<Q", 2**62), header(3, 0, 0)):
            path = self.folder / "model.gguf"
            path.write_bytes(data)
            self.refuse_model(path, "model.gguf")


class BadMedia(ProgramTest):
    """Exit code 4, or 5 for what is only too large."""

    def refuse_image(self, code, fragment, data):
        path = self.folder / "picture.png"
        path.write_bytes(data)
        for args in (["run", "--model", MODEL, "--image", path, "Q"],
                     ["pixels", "--model", MODEL, "--image", path, "--output", self.folder / "never-written.npy"]):
            self.assertEqual(self.refused(code, fragment, *args).stdout, b"")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["picture.png"])

    def test_pictures(self):
        whole = IMAGE.read_bytes()
        for data in (b"", b"not a picture", whole[:20], whole[:-200], b"%PDF-1.4 " + whole, b"<svg></svg>",
                     png(0, 0), png(1, 201, bytes(4 * 201)), png(8, 8, bytes(10))):
            self.refuse_image(4, "picture.png", data)

    def test_pictures_too_large(self):
        self.refuse_image(5, "picture.png", png(60000, 60000))
        self.refuse_image(5, "picture.png", png(16385, 16384))
        self.refuse_image(5, "picture.png", png(16000, 16000))

    def test_files(self):
        run = ["run", "--model", MODEL]
        self.refused(4, "missing.png", *run, "--image", "missing.png", "Q")
        self.refused(4, str(self.folder), *run, "--image", self.folder, "Q")
        self.refused(4, "missing.mp4", *run, "--video", "missing.mp4", "Q")
        self.refused(4, str(self.folder), *run, "--video", self.folder, "Q")

    def test_videos(self):
        clip = VIDEO.read_bytes()
        for data in (b"", b"not a video", clip[:100], clip[:len(clip) // 2], IMAGE.read_bytes(),
                     f"#EXTM3U\n#EXTINF:1,\n{VIDEO}\n".encode(), f"ffconcat version 1.0\nfile '{VIDEO}'\n".encode()):
            path = self.folder / "clip.mp4"
            path.write_bytes(data)
            self.refused(4, "clip.mp4", "run", "--model", MODEL, "--video", path, "Q")
        self.refused(4, "audio_only.m4a", "run", "--model", MODEL, "--video", MEDIA / "audio_only.m4a", "Q")


class Limits(ProgramTest):
    """Exit code 5."""

    def test_a_prompt_longer_than_the_context(self):
        context = json.loads((MODEL / "config.json").read_text())["text_config"]["max_position_embeddings"]
        text = b"word " * context
        result = self.refused(5, f"the model takes {context}", "run", "--model", MODEL, "-", input=text)
        self.assertRegex(result.stderr.decode(), r"prompt: \d{4,} tokens, 0 of them of pictures")

    def test_pictures_are_counted_by_their_headers(self):
        path = self.folder / "wide.png"
        path.write_bytes(png(8000, 8000, b"\0") + b"\0" * 200_000)  # no pixels: decoding would refuse it
        self.refused(4, f"{path}: damaged or unsupported PNG", "run", "--model", MODEL, "--image", path, "Q")
        model = self.changed_model(preprocessor_config=lambda c: c["size"].update(longest_edge=64_000_000))
        context = json.loads((MODEL / "config.json").read_text())["text_config"]["max_position_embeddings"]
        result = self.refused(5, f"the model takes {context}", "run", "--model", model, "--image", path, "Q")
        self.assertIn("62500 of them of pictures and videos", result.stderr.decode())

    def test_a_checkpoint_that_the_addresses_do_not_suffice_for(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        if qvl("--version", preexec_fn=limit).returncode != 0:
            self.skipTest("the program itself takes more, as with a sanitizer")
        weights = self.changed_model() / "model.safetensors"
        os.truncate(weights, 1 << 40)
        result = self.refused(5, "cannot map", "run", "--model", weights.parent, "Q", preexec_fn=limit)
        self.assertEqual(result.stderr.decode(),
                         f"qvl: {weights}: cannot map its {1 << 40} bytes: Cannot allocate memory\n")

    def test_too_many_pictures(self):
        self.refused(5, "65 pictures and videos, at most 64 are allowed", "run", "--model", MODEL,
                     *["--image", IMAGE] * 65, "Q")


class Environment(ProgramTest):
    """Exit code 6."""

    def test_an_output_that_cannot_be_written(self):
        for output in (self.folder / "no-such-folder/x.npy", "/proc/x.npy"):
            self.refused(6, f"{output}: cannot create", "logits", "--model", MODEL, "--prompt", "Q", "--output", output)

    def test_an_output_that_is_a_folder(self):
        (self.folder / "taken").mkdir()
        self.refused(6, "taken: found a folder, expected a regular file or a new name", "logits", "--model", MODEL, "--prompt", "Q", "--output",
                     self.folder / "taken")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["taken"])


if __name__ == "__main__":
    unittest.main()
