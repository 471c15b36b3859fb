#include "files/safetensors_folder.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/safetensors_file.h"
#include "files/tensor_table.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t max_index_bytes = 16u << 20;
constexpr size_t max_tensors = 65536;
constexpr size_t max_shards = 1024;
constexpr std::string_view single_name = "model.safetensors";
constexpr std::string_view index_name = "model.safetensors.index.json";

using Index = std::map<std::string, std::string>;  // tensor -> shard

void add_tensors(TensorTable& table, SafetensorsFile shard) {
  std::string file = shard.file.path().string();
  for (SafetensorsTensor& tensor : shard.tensors) {
    std::string subject = fmt::format("{}: tensor \"{}\"", file, printable(tensor.name));
    bool fresh = false;
    if (tensor.dtype) {
      TensorView view{.dtype = *tensor.dtype, .shape = std::move(tensor.shape), .bytes = tensor.bytes};
      fresh = table.add(tensor.name, std::move(view));
    } else {
      fresh = table.add_unusable(tensor.name, fmt::format("{}: stored as {}, expected F32, F16 or BF16",
                                                          subject, tensor.stored_type));
    }
    if (!fresh) fail(ErrorCode::model_file, "{}: is in another shard, too", subject);
  }
  table.keep(std::move(shard.file));
}

// The name comes from a file: only a plain name of this folder may be opened.
void check_shard_name(const std::string& name, const std::string& index) {
  bool plain =
      !name.empty() && name.front() != '.' &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) { return c > ' ' && c < 0x7F && c != '/'; });
  if (!plain || !name.ends_with(".safetensors")) {
    fail(ErrorCode::model_file,
         "{}: shard \"{}\": expected the name of a .safetensors file in the same folder", index,
         printable(name));
  }
}

bool is_below(const fs::path& file, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
}

// The Hugging Face cache links .../snapshots/REVISION/name to .../blobs/HASH; any other way out is refused.
void check_stays_inside(const fs::path& shard, const fs::path& folder) {
  std::error_code error;
  fs::path target = fs::canonical(shard, error);
  if (error) fail(ErrorCode::model_file, "{}: cannot open: {}", shard.string(), error.message());
  fs::path home = fs::canonical(folder, error);
  if (error) fail(ErrorCode::model_file, "{}: cannot open: {}", folder.string(), error.message());
  bool in_cache = home.parent_path().filename() == "snapshots" &&
                  target.parent_path() == home.parent_path().parent_path() / "blobs";
  if (!is_below(target, home) && !in_cache) {
    fail(ErrorCode::model_file, "{}: is a link that leaves the model folder", shard.string());
  }
}

Index read_index(const fs::path& path) {
  JsonSource source{.name = path.string()};
  Json document = parse_json(read_file(path, max_index_bytes, ErrorCode::model_file), source);
  const EmptiedAtEnd document_end(document);
  JsonObject root(document, source);
  JsonObject weight_map = root.object("weight_map");
  if (weight_map.json().size() > max_tensors) {
    root.refuse("weight_map",
                fmt::format("{} tensors, at most {} allowed", weight_map.json().size(), max_tensors));
  }
  Index index;
  for (const auto& [tensor, shard] : weight_map.json().items()) {
    if (!shard.is_string()) weight_map.refuse(tensor, "expected the name of a file");
    check_shard_name(shard.get<std::string>(), source.name);
    index.emplace(tensor, shard.get<std::string>());
  }
  if (index.empty()) root.refuse("weight_map", "names no tensor");
  return index;
}

std::set<std::string> shards_of(const Index& index, const std::string& file) {
  std::set<std::string> shards;
  std::map<std::string, std::string> folded;
  for (const auto& [tensor, shard] : index) {
    if (!shards.insert(shard).second) continue;
    std::string lower = shard;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (!folded.emplace(lower, shard).second) {
      fail(ErrorCode::model_file, "{}: shards \"{}\" and \"{}\" differ only in case", file, folded[lower],
           shard);
    }
  }
  if (shards.size() > max_shards) {
    fail(ErrorCode::model_file, "{}: {} shards, at most {} allowed", file, shards.size(), max_shards);
  }
  return shards;
}

// Compares what the index says of one shard with what the shard holds.
void check_against_index(const SafetensorsFile& shard, const std::string& shard_name, const Index& index,
                         std::vector<std::string>& warnings) {
  std::set<std::string_view> present;
  size_t unlisted = 0;
  for (const SafetensorsTensor& tensor : shard.tensors) {
    present.insert(tensor.name);
    if (!index.contains(tensor.name)) ++unlisted;
  }
  for (const auto& [tensor, listed_in] : index) {
    if (listed_in == shard_name && !present.contains(tensor)) {
      fail(ErrorCode::model_file, "{}: tensor \"{}\": missing, but {} lists it here",
           shard.file.path().string(), printable(tensor), index_name);
    }
  }
  if (unlisted > 0) {
    warnings.push_back(fmt::format("{}: {} tensors are not in {}", shard_name, unlisted, index_name));
  }
}

void add_shards(TensorTable& table, const fs::path& folder, std::vector<std::string>& warnings) {
  fs::path index_path = folder / index_name;
  Index index = read_index(index_path);
  std::set<std::string> shards = shards_of(index, index_path.string());
  for (const std::string& name : shards) check_stays_inside(folder / name, folder);
  for (const std::string& name : shards) {
    SafetensorsFile shard = read_safetensors(folder / name);
    check_against_index(shard, name, index, warnings);
    add_tensors(table, std::move(shard));
  }
}

}  // namespace

std::unique_ptr<TensorSource> open_safetensors_folder(const fs::path& folder,
                                                      std::vector<std::string>& warnings) {
  auto table = std::make_unique<TensorTable>();
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(folder / single_name, ignored))) {
    add_tensors(*table, read_safetensors(folder / single_name));
  } else if (fs::exists(fs::symlink_status(folder / index_name, ignored))) {
    add_shards(*table, folder, warnings);
  } else {
    fail(ErrorCode::model_file, "{}: found neither {} nor {}", folder.string(), single_name, index_name);
  }
  return table;
}

}  // namespace qvl
