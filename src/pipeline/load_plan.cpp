#include "pipeline/load_plan.h"

#include <fmt/ranges.h>

#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/environment.h"
#include "base/error.h"
#include "base/file.h"
#include "files/memory_checkpoint.h"
#include "pipeline/packed_files.h"

namespace qvl {
namespace {

std::string isa_names() {
  std::vector<std::string_view> names;
  for (Isa isa : all_isas()) names.push_back(name_of(isa));
  return fmt::format("{}", fmt::join(names, ", "));
}

WeightChoice choice_of(WeightPrecision precision) {
  switch (precision) {
    case WeightPrecision::f32:
      return WeightChoice::f32;
    case WeightPrecision::bf16:
      return WeightChoice::bf16;
    case WeightPrecision::q8:
      return WeightChoice::q8;
    case WeightPrecision::q4:
      return WeightChoice::q4;
    case WeightPrecision::automatic:
      break;
  }
  return WeightChoice::automatic;
}

KvForm form_of(KvPrecision precision) {
  switch (precision) {
    case KvPrecision::f32:
      return KvForm::f32;
    case KvPrecision::bits8:
      return KvForm::i8;
    case KvPrecision::bits16:
      break;
  }
  return KvForm::i16;
}

// The user's folder for caches: XDG Base Directory Specification 0.8.
std::optional<std::filesystem::path> user_cache_folder() {
  if (auto folder = environment_variable("XDG_CACHE_HOME"); folder && folder->starts_with('/')) {
    return std::filesystem::path(*folder) / "qvl";
  }
  if (auto home = environment_variable("HOME"); home && home->starts_with('/')) {
    return std::filesystem::path(*home) / ".cache" / "qvl";
  }
  return std::nullopt;
}

// Tells checkpoints apart that have the same name. FNV-1a.
uint64_t name_hash(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// The instruction set that was asked for; nothing where none was.
std::optional<Isa> asked_isa(const LoadOptions& options) {
  const auto variable = environment_variable("QVL_ISA");
  const std::string name = !options.isa.empty() ? options.isa : variable.value_or("");
  if (name.empty()) return std::nullopt;
  const auto isa = isa_named(name);
  const std::string_view source = options.isa.empty() ? "QVL_ISA" : "isa";
  if (!isa) {
    fail(ErrorCode::usage, "{}: found {}, expected one of {}", source, printable(name), isa_names());
  }
  if (!supported(*isa)) {
    fail(ErrorCode::environment, "{}: {} is not supported by this processor, which has {}", source, name,
         name_of(best_isa()));
  }
  return isa;
}

// Where packed weights of a checkpoint go.
struct PackedPlace {
  std::filesystem::path folder;
  std::string checkpoint;
  uint64_t hash;
};

// Nothing without a folder.
std::optional<PackedPlace> packed_place(const LoadOptions& options) {
  const auto folder = cache_folder(options);
  if (folder.empty() || options.in_memory) return std::nullopt;
  std::error_code error;
  const auto path = std::filesystem::weakly_canonical(options.path, error);
  if (error) return std::nullopt;
  const std::string vision = options.mmproj ? options.mmproj->string() : "";
  return PackedPlace{.folder = folder,
                     .checkpoint = path.filename().string(),
                     .hash = name_hash(path.string() + '\n' + vision)};
}

}  // namespace

Isa chosen_isa(const LoadOptions& options) { return asked_isa(options).value_or(best_isa()); }

ModelFiles open_checkpoint(const LoadOptions& options) {
  return options.in_memory ? open_memory_checkpoint(*options.in_memory)
                           : open_model_files(options.path, options.mmproj);
}

std::string checkpoint_name(const LoadOptions& options) {
  return options.in_memory ? options.in_memory->name : path_name(options.path);
}

PlanWishes plan_wishes(const LoadOptions& options) {
  const auto fixed = [](WeightPrecision precision) {
    return precision == WeightPrecision::automatic ? std::nullopt : std::optional(choice_of(precision));
  };
  // 16 bits are what nobody had to ask for.
  const auto kv = options.kv == KvPrecision::bits16 ? std::nullopt : std::optional(form_of(options.kv));
  return {.isa = asked_isa(options),
          .text = fixed(options.weights),
          .vision = fixed(options.vision_weights),
          .kv = kv};
}

std::filesystem::path cache_folder(const LoadOptions& options) {
  return options.cache_folder ? *options.cache_folder : user_cache_folder().value_or("");
}

uint64_t kept_packed_bytes(const LoadOptions& options) {
  const auto place = packed_place(options);
  return place ? packed_bytes_of(place->folder, place->checkpoint, place->hash) : 0;
}

PackOptions pack_options(const LoadOptions& options, const ModelFiles& files, const Plan& plan) {
  PackOptions pack{.cache_file = {}, .source_state = files.tensors->fingerprint()};
  pack.huge_pages = plan.huge_weights ? HugePages::advised : HugePages::off;
  pack.stop = options.stop;
  pack.release = [source = files.tensors.get()](std::span<const std::byte> bytes) { source->release(bytes); };
  if (options.progress) {
    pack.progress = [listener = options.progress](double share) {
      listener({.stage = "pack", .fraction = share});
    };
  }
  const auto place = packed_place(options);
  if (place && plan.keep_packed) {
    pack.cache_file = place->folder / packed_file_name(place->checkpoint, place->hash, plan.forms);
  }
  return pack;
}

}  // namespace qvl
