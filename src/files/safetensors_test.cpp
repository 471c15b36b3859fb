// Safetensors files and folders: good ones, and everything that can be wrong with them.
#include <sys/stat.h>

#include <chrono>

#include "files/byte_cursor.h"
#include "files/safetensors_file.h"
#include "files/safetensors_folder.h"
#include "files/test_files.h"

namespace qvl {
namespace {

using namespace testing_files;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SafetensorsTest, ReadsTensors) {
  TempFolder folder;
  std::string data = "0123456789abcdef";
  SafetensorsFile file = read_safetensors(folder.write("model.safetensors", safetensors(good_header, data)));
  ASSERT_EQ(file.tensors.size(), 3u);
  EXPECT_EQ(file.tensors[0].name, "a");
  EXPECT_EQ(file.tensors[0].dtype, DType::bf16);
  EXPECT_THAT(file.tensors[0].shape, ElementsAre(2, 3));
  EXPECT_EQ(std::memcmp(file.tensors[0].bytes.data(), data.data(), 12), 0);
  EXPECT_EQ(file.tensors[0].bytes.size(), 12u);
  EXPECT_THAT(file.tensors[1].shape, IsEmpty());
  EXPECT_EQ(std::memcmp(file.tensors[1].bytes.data(), "cdef", 4), 0);
  EXPECT_EQ(file.tensors[2].dtype, std::nullopt);
  EXPECT_EQ(file.tensors[2].stored_type, "I64");
}

TEST(SafetensorsTest, HeaderMayEndInSpaces) {
  TempFolder folder;
  EXPECT_EQ(read_safetensors(folder.write("s", safetensors("{}     ", ""))).tensors.size(), 0u);
}

struct BadFile {
  std::string bytes;
  std::string message;
};

std::string one(const std::string& tensor, size_t data_bytes) {
  return safetensors("{\"t\":" + tensor + "}", std::string(data_bytes, 'x'));
}
std::string length_only(uint64_t length) { return little(length) + "{}"; }

std::vector<BadFile> bad_containers() {
  return {
      {"", "0 bytes, expected at least 8"},
      {"1234567", "7 bytes, expected at least 8"},
      {length_only(0), "header length 0"},
      {length_only(3), "header length 3 exceeds the file size of 10 bytes"},
      {length_only(100'000'001), "header length 100000001 exceeds the limit of 100000000 bytes"},
      {length_only(uint64_t{1} << 63), "header length 9223372036854775808 exceeds the limit"},
      {length_only(UINT64_MAX), "header length 18446744073709551615 exceeds the limit"},
      {safetensors("[]", ""), "header: byte 0: found 0x5b, expected \"{\""},
      {safetensors(" {}", ""), "header: byte 0: found 0x20"},
      {safetensors("\xEF\xBB\xBF{}", ""), "header: byte 0: found 0xef"},
      {safetensors("{", ""), "header: byte 2: syntax error"},
      {safetensors("{}x", ""), "header: byte 3: "},
      {safetensors(std::string("{}\0", 3), ""), "header: byte 2: found 0x00"},
      {safetensors("{\"a\xff\":1}", ""),
       "header: byte 4: syntax error while parsing object key - invalid string"},
      {safetensors(std::string(10000, '{'), ""), "header: byte 2: "},
      {safetensors("{\"a\":" + std::string(10000, '['), ""),
       "tensor \"a\": found an array, expected an object"},
      {safetensors("{\"a\":1}", ""), "tensor \"a\": found 1, expected an object"},
      {safetensors("{\"a\":null}", ""), "tensor \"a\": found null, expected an object"},
      {safetensors("{\"__metadata__\":{\"k\":1}}", ""), "__metadata__: found 1, expected strings only"},
      {safetensors("{\"__metadata__\":[]}", ""), "__metadata__: found an array, expected an object"},
      {safetensors("{\"__metadata__\":{\"k\":{}}}", ""),
       "__metadata__: found an object, expected strings only"},
      {safetensors("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}", ""), "__metadata__: duplicate key \"k\""},
      {safetensors("{}", "x"), "1 data bytes, but the tensors end at 0"},
  };
}

std::vector<BadFile> bad_tensors() {
  return {
      {one(R"({"shape":[1],"data_offsets":[0,4]})", 4), "tensor \"t\": dtype: missing"},
      {one(R"({"dtype":"F32","data_offsets":[0,4]})", 4), "tensor \"t\": shape: missing"},
      {one(R"({"dtype":"F32","shape":[1]})", 4), "tensor \"t\": data_offsets: missing"},
      {one(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})", 4),
       "duplicate key \"dtype\""},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})", 4), "unexpected key \"x\""},
      {one(R"({"dtype":"F31","shape":[1],"data_offsets":[0,4]})", 4),
       "tensor \"t\": dtype: unknown type \"F31\""},
      {one(R"({"dtype":7,"shape":[1],"data_offsets":[0,4]})", 4), "dtype: found 7, expected a string"},
      {one(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})", 4),
       "shape: found 1, expected an array of integers"},
      {one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", 4),
       "shape: found -1, expected integers not below 0"},
      {one(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,4]})", 4), "shape: found 1.5"},
      {one(R"({"dtype":"F32","shape":[1e400],"data_offsets":[0,4]})", 4), "header: byte "},
      {one(R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})", 4),
       "shape: found \"1\", expected integers"},
      {one(R"({"dtype":"F32","shape":[[1]],"data_offsets":[0,4]})", 4),
       "shape: found an array, expected integers"},
      {one(R"({"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]})", 4),
       "shape: found 18446744073709551616"},
      {one(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]})", 4),
       "more than 8 dimensions"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4]})", 4), "data_offsets has 1 numbers, expected 2"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})", 4),
       "data_offsets has more than 2 numbers"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})", 4), "data_offsets: found -4"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", 4),
       "data_offsets: begin 4 lies after end 0"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 4), "end 8 lies beyond the 4 data bytes"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4), "4 bytes, expected 8 for F32 [2]"},
      {one(R"({"dtype":"F32","shape":[1e400],"data_offsets":[0,4]})", 4), "the number 1e400 is too large"},
      {one(R"({"dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4]})", 4), "too large"},
      {one(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})", 0), "too large"},
      {one(R"({"dtype":"F4","shape":[3],"data_offsets":[0,1]})", 1), "[3] of F4 is no whole number of bytes"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", 8), "begin 4 leaves a hole after 0"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 8),
       "8 data bytes, but the tensors end at 4"},
      {safetensors(R"({"s":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                   R"("t":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}})",
                   "12345"),
       "tensor \"t\": data_offsets: begin 2 overlaps the tensor before, which ends at 3"},
      {safetensors(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"t":{}})", ""),
       "header: duplicate key \"t\""},
  };
}

TEST(SafetensorsTest, BadFilesAreRefusedByName) {
  TempFolder folder;
  std::vector<BadFile> rows = bad_containers();
  for (BadFile& row : bad_tensors()) rows.push_back(std::move(row));
  for (const BadFile& row : rows) {
    auto path = folder.write("model.safetensors", row.bytes);
    std::string message = refusal([&] { read_safetensors(path); });
    EXPECT_THAT(message, HasSubstr(row.message));
    EXPECT_THAT(message, HasSubstr(path.string() + ": "));
  }
}

TEST(SafetensorsTest, AMillionTensorsAreRefusedSoon) {
  std::string header = "{";
  for (int i = 0; i < 1'000'000; ++i) {
    header +=
        fmt::format(R"({}"{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i == 0 ? "" : ",", i);
  }
  TempFolder folder;
  auto path = folder.write("model.safetensors", safetensors(header + "}", ""));
  auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(refusal([&] { read_safetensors(path); }), HasSubstr("more than 65536 tensors"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

// ------------------------------------------------------------------------------------------------ folders

std::string shard_of(const std::string& tensor) {
  return safetensors("{\"" + tensor + R"(":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", "xx");
}

struct ShardedFolder {
  TempFolder folder;
  std::vector<std::string> warnings;
  ShardedFolder() {
    folder.write("s1.safetensors", shard_of("a"));
    folder.write("s2.safetensors", shard_of("b"));
    index(R"({"metadata":{},"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}})");
  }
  void index(const std::string& text) { folder.write("model.safetensors.index.json", text); }
  std::unique_ptr<TensorSource> open() { return open_safetensors_folder(folder.path(), warnings); }
  std::string refused() {
    return refusal([&] { open(); });
  }
  std::string refused_shard(const std::string& name) {
    index(R"({"weight_map":{"a":"s1.safetensors","b":")" + name + "\"}}");
    return refused();
  }
};

TEST(SafetensorsFolderTest, ShardsAreOneSource) {
  ShardedFolder sharded;
  auto source = sharded.open();
  EXPECT_THAT(source->names(), ElementsAre("a", "b"));
  EXPECT_EQ(source->find("b")->dtype, DType::f16);
  EXPECT_EQ(source->find("c"), nullptr);
  EXPECT_THAT(sharded.warnings, IsEmpty());
}

TEST(SafetensorsFolderTest, TypesNoWeightHasAreRefusedWhenAskedFor) {
  TempFolder folder;
  std::vector<std::string> warnings;
  folder.write("model.safetensors", good_safetensors());
  auto source = open_safetensors_folder(folder.path(), warnings);
  EXPECT_THAT(source->names(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(refusal([&] { source->find("c"); }),
              HasSubstr("tensor \"c\": stored as I64, expected F32, F16 or BF16"));
}

TEST(SafetensorsFolderTest, ShardNamesStayInTheFolder) {
  ShardedFolder sharded;
  for (std::string name : {"../s2.safetensors", "/etc/passwd", "x/../s2.safetensors", "", ".", "..",
                           "s2\\u0000.safetensors", "s2.bin", ".safetensors", "a b.safetensors"}) {
    EXPECT_THAT(sharded.refused_shard(name), HasSubstr("expected the name of a .safetensors file")) << name;
  }
}

TEST(SafetensorsFolderTest, LinksStayInTheFolder) {
  ShardedFolder sharded;
  TempFolder elsewhere;
  auto target = elsewhere.write("b.safetensors", shard_of("b"));
  std::filesystem::create_symlink(target, sharded.folder.path() / "out.safetensors");
  EXPECT_THAT(sharded.refused_shard("out.safetensors"),
              HasSubstr("out.safetensors: is a link that leaves the model folder"));
  std::filesystem::create_symlink("s2.safetensors", sharded.folder.path() / "in.safetensors");
  sharded.index(R"({"weight_map":{"b":"in.safetensors"}})");
  EXPECT_THAT(sharded.open()->names(), ElementsAre("b"));
}

TEST(SafetensorsFolderTest, TheLayoutOfTheHubCacheIsRead) {
  TempFolder hub;
  auto snapshot = hub.path() / "snapshots" / "0123";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directory(hub.path() / "blobs");
  hub.write("blobs/77", shard_of("b"));
  std::filesystem::create_symlink("../../blobs/77", snapshot / "s.safetensors");
  hub.write("snapshots/0123/model.safetensors.index.json", R"({"weight_map":{"b":"s.safetensors"}})");
  std::vector<std::string> warnings;
  EXPECT_THAT(open_safetensors_folder(snapshot, warnings)->names(), ElementsAre("b"));
}

TEST(SafetensorsFolderTest, BadShardsAreRefusedByName) {
  ShardedFolder sharded;
  EXPECT_THAT(sharded.refused_shard("s3.safetensors"),
              HasSubstr("s3.safetensors: cannot open: No such file"));
  EXPECT_THAT(sharded.refused_shard("S1.safetensors"), HasSubstr("differ only in case"));
  EXPECT_THAT(
      sharded.refused_shard("s1.safetensors"),
      HasSubstr("s1.safetensors: tensor \"b\": missing, but model.safetensors.index.json lists it here"));
  ::mkfifo((sharded.folder.path() / "f.safetensors").c_str(), 0600);
  EXPECT_THAT(sharded.refused_shard("f.safetensors"), HasSubstr("f.safetensors: found a special file"));
  std::filesystem::create_directory(sharded.folder.path() / "d.safetensors");
  EXPECT_THAT(sharded.refused_shard("d.safetensors"), HasSubstr("d.safetensors: found a folder"));
}

TEST(SafetensorsFolderTest, ATensorInTwoShardsIsRefused) {
  ShardedFolder sharded;
  sharded.folder.write("s2.safetensors",
                       safetensors(R"({"b":{"dtype":"F16","shape":[0],"data_offsets":[0,0]},)"
                                   R"("a":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}})",
                                   ""));
  EXPECT_THAT(sharded.refused(), HasSubstr("s2.safetensors: tensor \"a\": is in another shard, too"));
}

TEST(SafetensorsFolderTest, BadIndexesAreRefused) {
  ShardedFolder sharded;
  const std::pair<const char*, const char*> rows[] = {
      {"", "index.json: byte 1"},
      {"[]", "the document: found array, expected an object"},
      {"{}", "weight_map: missing"},
      {R"({"weight_map":[]})", "weight_map: found array, expected an object"},
      {R"({"weight_map":{}})", "weight_map: names no tensor"},
      {R"({"weight_map":{"a":1}})", "weight_map.a: expected the name of a file"},
      {R"({"weight_map":{"a":"s1.safetensors","a":"s2.safetensors"}})", "duplicate key \"a\""},
  };
  for (const auto& [text, message] : rows) {
    sharded.index(text);
    EXPECT_THAT(sharded.refused(), HasSubstr(message));
  }
}

TEST(SafetensorsFolderTest, TensorsMissingInTheIndexAreAWarning) {
  ShardedFolder sharded;
  sharded.index(R"({"weight_map":{"b":"s2.safetensors"}})");
  sharded.folder.write("s2.safetensors",
                       safetensors(R"({"b":{"dtype":"F16","shape":[0],"data_offsets":[0,0]},)"
                                   R"("x":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}})",
                                   ""));
  EXPECT_THAT(sharded.open()->names(), ElementsAre("b", "x"));
  EXPECT_THAT(sharded.warnings,
              ElementsAre("s2.safetensors: 1 tensors are not in model.safetensors.index.json"));
}

TEST(SafetensorsFolderTest, AChangedFileIsNoticed) {
  ShardedFolder sharded;
  auto source = sharded.open();
  EXPECT_NO_THROW(source->check_unchanged());
  std::filesystem::resize_file(sharded.folder.path() / "s2.safetensors", 200);
  EXPECT_THAT(refusal([&] { source->check_unchanged(); }),
              HasSubstr("s2.safetensors: the file changed while loading"));
}

TEST(Utf8Test, AcceptsWellFormedTextOnly) {
  for (const char* good : {"", "a", "\xC3\xA9", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEF\xBF\xBF",
                           "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "a\xC4\xA0z"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82",
        "\xE2\x82(", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace qvl
