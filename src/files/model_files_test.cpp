// Opening checkpoints whole, and files changed at random: each must open or be refused with qvl::Error.
#include "files/model_files.h"

#include <sys/stat.h>

#include <random>

#include "base/checked.h"
#include "files/safetensors_file.h"
#include "files/test_files.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

using namespace testing_files;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ModelFilesTest, OpensAFolder) {
  TempFolder folder;
  folder.write("config.json", good_config().dump());
  folder.write("model.safetensors", good_safetensors());
  folder.write("video_preprocessor_config.json", R"({"fps":3})");
  ModelFiles files = open_model_files(folder.path(), std::nullopt);
  EXPECT_EQ(files.config.text.num_hidden_layers, 28);
  EXPECT_EQ(files.folder, folder.path());
  EXPECT_EQ(files.image_preprocessor.min_pixels, 65536);
  EXPECT_EQ(files.video_preprocessor.fps, 3.0);
  EXPECT_EQ(files.generation.top_k, 20);
  EXPECT_FALSE(files.gguf_tokenizer.has_value());
  EXPECT_THAT(files.tensors->names(), ElementsAre("a", "b", "c"));
  EXPECT_NO_THROW(files.tensors->check_unchanged());
}

std::string refused(const std::filesystem::path& path) {
  return refusal([&] { open_model_files(path, std::nullopt); });
}

TEST(ModelFilesTest, WrongPathsAreExplained) {
  TempFolder folder;
  EXPECT_THAT(refused(folder.path() / "nothing"),
              HasSubstr("nothing: cannot open: No such file or directory"));
  EXPECT_THAT(refused(folder.path()),
              HasSubstr("found no config.json, expected a Hugging Face model folder or a .gguf file"));
  folder.write("b.gguf", "");
  folder.write("a.gguf", "");
  EXPECT_THAT(refused(folder.path()),
              HasSubstr("GGUF files (a.gguf, b.gguf): give the path of the text file itself"));
  EXPECT_THAT(refused(folder.path() / "a.gguf"),
              HasSubstr("a.gguf: byte 0: magic: 4 bytes needed, 0 left in the file"));
  EXPECT_THAT(refused(folder.write("model.safetensors", "")),
              HasSubstr("expected a model folder or a .gguf file: give its folder"));
  folder.write("config.json", good_config().dump());
  std::filesystem::remove(folder.path() / "model.safetensors");
  EXPECT_THAT(refused(folder.path()),
              HasSubstr("found neither model.safetensors nor model.safetensors.index.json"));
  ::mkfifo((folder.path() / "model.safetensors").c_str(), 0600);
  EXPECT_THAT(refused(folder.path()),
              HasSubstr("model.safetensors: found a special file, expected a regular file"));
  EXPECT_THAT(refusal([&] { open_model_files(folder.path(), folder.path() / "b.gguf"); }),
              HasSubstr("a vision file goes with a GGUF text file"));
}

// One to three changes of a file: a bit, a byte, a 64-bit number of the dangerous kind, a cut, a repetition.
std::string mutate(std::string bytes, std::mt19937& random) {
  auto below = [&](size_t n) { return n == 0 ? 0 : static_cast<size_t>(random() % n); };
  constexpr uint64_t nasty[] = {0,
                                1,
                                0xFF,
                                0xFFFF,
                                0x7FFFFFFF,
                                0xFFFFFFFF,
                                uint64_t{1} << 32,
                                uint64_t{1} << 62,
                                uint64_t{1} << 63,
                                UINT64_MAX,
                                UINT64_MAX - 7};
  for (size_t changes = 1 + below(3); changes > 0; --changes) {
    size_t at = below(bytes.size());
    switch (below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random());
        break;
      case 2:
        bytes.replace(at, std::min<size_t>(8, bytes.size() - at), little(nasty[below(std::size(nasty))]));
        break;
      case 3:
        bytes.resize(at + 1);
        break;
      case 4:
        bytes.insert(at, bytes.substr(below(bytes.size()), below(64)));
        break;
      default:
        bytes[at] = "{}[]\",:0129-e.\\ "[below(16)];
    }
  }
  return bytes;
}

// Decodes every tensor, so that a view outside its file would be noticed.
float sum_of(const TensorView& view) {
  std::vector<float> values(view.elements());
  decoder(view.dtype)(view.bytes.data(), values.size(), values.data());
  float sum = 0;
  for (float value : values) sum += value;
  return sum;
}

struct Outcome {
  int opened = 0;
  int refused = 0;
};

Outcome try_mutations(const std::string& good, const std::function<void(const std::string&)>& open) {
  std::mt19937 random(20240607);
  Outcome outcome;
  for (int i = 0; i < 4000; ++i) {
    try {
      open(mutate(good, random));
      ++outcome.opened;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      ++outcome.refused;
    }
  }
  return outcome;
}

TEST(MutationTest, Safetensors) {
  TempFolder folder;
  Outcome outcome = try_mutations(good_safetensors(), [&](const std::string& bytes) {
    for (const SafetensorsTensor& tensor : read_safetensors(folder.write("s", bytes)).tensors) {
      if (!tensor.dtype) continue;
      EXPECT_EQ(bytes_for(*tensor.dtype, *checked_product(tensor.shape)), tensor.bytes.size());
    }
  });
  EXPECT_GT(outcome.opened, 50);
  EXPECT_GT(outcome.refused, 2000);
}

TEST(MutationTest, GgufText) {
  TempFolder folder;
  Outcome outcome = try_mutations(good_text_gguf().build(), [&](const std::string& bytes) {
    ModelFiles files = open_model_files(folder.write("t.gguf", bytes), std::nullopt);
    for (const std::string& name : files.tensors->names()) sum_of(*files.tensors->find(name));
  });
  EXPECT_GT(outcome.opened, 50);
  EXPECT_GT(outcome.refused, 2000);
}

TEST(MutationTest, GgufVision) {
  TempFolder folder;
  auto text = folder.write("t.gguf", good_text_gguf().build());
  GgufBuilder small = good_vision_gguf();
  small.tensors.erase(small.tensors.begin(), small.tensors.begin() + 2);  // leaves mostly header to change
  Outcome outcome = try_mutations(small.build(), [&](const std::string& bytes) {
    ModelFiles files = open_model_files(text, folder.write("v.gguf", bytes));
    for (const std::string& name : files.tensors->names()) sum_of(*files.tensors->find(name));
  });
  EXPECT_GT(outcome.opened, 50);
  EXPECT_GT(outcome.refused, 500);
}

TEST(MutationTest, Config) {
  TempFolder folder;
  folder.write("model.safetensors", good_safetensors());
  Outcome outcome = try_mutations(good_config().dump(), [&](const std::string& bytes) {
    folder.write("config.json", bytes);
    open_model_files(folder.path(), std::nullopt);
  });
  EXPECT_GT(outcome.opened, 50);
  EXPECT_GT(outcome.refused, 2000);
}

}  // namespace
}  // namespace qvl
