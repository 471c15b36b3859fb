#include "files/memory_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "qvl/error.h"

namespace qvl {
namespace {

const std::filesystem::path kShapes = std::filesystem::path(QVL_SOURCE_DIR) / "models/shapes";

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The small model that ships, as if another part of the program held its tensors.
CheckpointInMemory shapes_in_memory() {
  auto files = std::make_shared<ModelFiles>(open_model_files(kShapes, {}));
  CheckpointInMemory checkpoint{.name = "object", .config_json = text_of(kShapes / "config.json")};
  for (const std::string& name : files->tensors->names()) {
    const TensorView& view = *files->tensors->find(name);
    checkpoint.tensors.push_back({.name = name, .dtype = "BF16", .shape = view.shape, .bytes = view.bytes});
  }
  checkpoint.keep_alive = std::move(files);
  return checkpoint;
}

std::string refusal(const CheckpointInMemory& checkpoint) {
  try {
    open_memory_checkpoint(checkpoint);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model_file);
    return error.what();
  }
  return "";
}

TEST(MemoryCheckpoint, HasTheTensorsWhereTheyLie) {
  const CheckpointInMemory checkpoint = shapes_in_memory();
  const ModelFiles files = open_memory_checkpoint(checkpoint);
  EXPECT_EQ(files.tensors->names().size(), checkpoint.tensors.size());
  const TensorView* found = files.tensors->find(checkpoint.tensors.front().name);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->bytes.data(), checkpoint.tensors.front().bytes.data());
  EXPECT_EQ(found->dtype, DType::bf16);
  EXPECT_EQ(files.config.text.vocab_size, 768);
  EXPECT_TRUE(files.folder.empty());
  EXPECT_EQ(files.image_preprocessor.max_pixels, 16'777'216);  // as published
  EXPECT_EQ(files.generation.top_k, 20);
  EXPECT_EQ(files.tensors->fingerprint(), "");
}

TEST(MemoryCheckpoint, KeepsTheOwnerOfTheTensors) {
  CheckpointInMemory checkpoint = shapes_in_memory();
  const std::weak_ptr<const void> owner = checkpoint.keep_alive;
  {
    const ModelFiles files = open_memory_checkpoint(checkpoint);
    checkpoint = {};
    EXPECT_FALSE(owner.expired());
  }
  EXPECT_TRUE(owner.expired());
}

TEST(MemoryCheckpoint, TakesWhatTheFolderHas) {
  CheckpointInMemory checkpoint = shapes_in_memory();
  checkpoint.folder = kShapes;
  checkpoint.generation_json = R"({"do_sample": false, "top_k": 7, "eos_token_id": 3})";
  const ModelFiles files = open_memory_checkpoint(checkpoint);
  EXPECT_EQ(files.folder, kShapes);
  EXPECT_EQ(files.image_preprocessor.max_pixels, 30'720);
  EXPECT_EQ(files.generation.top_k, 7);
  EXPECT_THAT(files.generation.eos_token_ids, testing::ElementsAre(3));
}

TEST(MemoryCheckpoint, NamesWhatIsWrong) {
  const auto refused = [](auto&& change) {
    CheckpointInMemory checkpoint = shapes_in_memory();
    checkpoint.tensors.resize(1);
    checkpoint.tensors[0].name = "a";
    checkpoint.tensors[0].shape = {2, 3};
    checkpoint.tensors[0].bytes = checkpoint.tensors[0].bytes.first(12);
    change(checkpoint);
    return refusal(checkpoint);
  };
  EXPECT_EQ(refused([](auto&) {}), "");
  EXPECT_EQ(refused([](auto& it) { it.tensors[0].dtype = "F64"; }),
            "object: tensor \"a\": found F64, expected F32, F16 or BF16");
  EXPECT_EQ(refused([](auto& it) { it.tensors[0].dtype = "F32"; }),
            "object: tensor \"a\": found 12 bytes for shape [2, 3] of F32");
  EXPECT_EQ(refused([](auto& it) {
              it.tensors[0].shape = {uint64_t{1} << 63, 4};
            }),
            "object: tensor \"a\": found 12 bytes for shape [9223372036854775808, 4] of BF16");
  EXPECT_EQ(refused([](auto& it) { it.tensors.push_back(it.tensors[0]); }),
            "object: tensor \"a\": given twice");
  EXPECT_THAT(refused([](auto& it) { it.config_json = "{"; }), testing::StartsWith("object: config: "));
  EXPECT_EQ(refused([](auto& it) { it.generation_json = R"({"top_k": -1})"; }),
            "object: generation_config: top_k: found -1, expected an integer from 0 to 4194304");
}

}  // namespace
}  // namespace qvl
