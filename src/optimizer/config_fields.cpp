// The table of fields, and their values as text.
#include "qvl/config_fields.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <type_traits>

#include "base/error.h"

namespace qvl {
namespace {

using Config = SystemOptimizationConfig;

constexpr int64_t kMostThreads = 1024;
constexpr int64_t kMostPoolBytes = int64_t{1} << 50;
constexpr int64_t kMostOperations = 1'000'000;

constexpr std::string_view kPolicies[] = {"performance", "balanced", "power_save"};
constexpr std::string_view kAlgorithms[] = {"round_robin", "priority", "load_balanced"};

template <auto member>
constexpr ChoiceField choice(std::span<const std::string_view> names) {
  using Enum = std::remove_reference_t<decltype(std::declval<Config&>().*member)>;
  return {.names = names,
          .get = [](const Config& config) { return static_cast<size_t>(config.*member); },
          .set = [](Config& config, size_t index) { config.*member = static_cast<Enum>(index); }};
}

constexpr ConfigField kFields[] = {
    {"num_compute_threads", IntegerField{&Config::num_compute_threads, 1, kMostThreads},
     "threads that compute, at most as many as there are processors to use"},
    {"num_io_threads", IntegerField{&Config::num_io_threads, 1, kMostThreads},
     "threads that write what is kept on disk of pictures and prompts"},
    {"num_preprocess_threads", IntegerField{&Config::num_preprocess_threads, 1, kMostThreads},
     "threads that decode pictures and tokenise"},
    {"thread_priority", IntegerField{&Config::thread_priority, 0, 2},
     "of the threads that compute: 0 normal, 1 above normal, 2 high"},
    {"cpu_affinity_mask", MaskField{&Config::cpu_affinity_mask}, "processors to use, a bit for each"},
    {"scheduler_policy", choice<&Config::scheduler_policy>(kPolicies), "how hard the machine is driven"},
    {"memory_limit_ratio", NumberField{&Config::memory_limit_ratio, 0.05, 1},
     "share of the memory this process may use that is never passed"},
    {"memory_pool_size", IntegerField{&Config::memory_pool_size, 0, kMostPoolBytes},
     "bytes of memory kept for reuse"},
    {"memory_cleanup_interval", IntegerField{&Config::memory_cleanup_interval, 1, kMostOperations},
     "operations from one clean-up of memory to the next"},
    {"enable_profiling", BooleanField{&Config::enable_profiling}, "sample the use of the machine"},
    {"profile_interval", NumberField{&Config::profile_interval, 0.01, 3600}, "seconds between two samples"},
    {"profile_memory", BooleanField{&Config::profile_memory}, "sample memory"},
    {"profile_compute", BooleanField{&Config::profile_compute}, "sample processors"},
    {"resource_scheduling_enabled", BooleanField{&Config::resource_scheduling_enabled},
     "admit requests by what they need; off: in order of arrival"},
    {"scheduling_algorithm", choice<&Config::scheduling_algorithm>(kAlgorithms),
     "which request gets the next step"},
    {"resource_reservation_ratio", NumberField{&Config::resource_reservation_ratio, 0.05, 1},
     "share of each resource that requests may hold together"},
    {"dynamic_resource_adjustment", BooleanField{&Config::dynamic_resource_adjustment},
     "adapt threads and budgets to the load while running"},
    {"optimization_level", IntegerField{&Config::optimization_level, 0, 3},
     "0 baseline, 1 exact, 2 8-bit weights, 3 4-bit weights and all caches"},
};

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

// What a kind of field expects, how it shows its value, how it takes one from text, whether it is in range.

struct Expected {
  std::string operator()(const IntegerField& f) const {
    return fmt::format("an integer from {} to {}", f.min, f.max);
  }
  std::string operator()(const NumberField& f) const {
    return fmt::format("a number from {:g} to {:g}", f.min, f.max);
  }
  std::string operator()(const BooleanField&) const { return "true or false"; }
  std::string operator()(const ChoiceField& f) const {
    return fmt::format("one of {}", fmt::join(f.names, ", "));
  }
  std::string operator()(const MaskField&) const {
    return fmt::format("a mask of at least one processor, like 0xff, of at most {} bits, or none",
                       CpuMask::kMostCpus);
  }
};

struct ValueText {
  const Config& config;
  std::string operator()(const IntegerField& f) const { return fmt::format("{}", config.*f.member); }
  std::string operator()(const NumberField& f) const { return fmt::format("{}", config.*f.member); }
  std::string operator()(const BooleanField& f) const { return config.*f.member ? "true" : "false"; }
  std::string operator()(const ChoiceField& f) const {
    const size_t index = f.get(config);
    return index < f.names.size() ? std::string(f.names[index]) : fmt::format("{}", index);
  }
  std::string operator()(const MaskField& f) const {
    return config.*f.member ? (config.*f.member)->text() : "none";
  }
};

struct SetFromText {
  std::string_view text;
  Config& config;

  bool operator()(const IntegerField& f) const {
    const auto value = parse_number<int64_t>(text);
    if (!value || *value < f.min || *value > f.max) return false;
    config.*f.member = *value;
    return true;
  }
  bool operator()(const NumberField& f) const {
    const auto value = parse_number<double>(text);
    if (!value || !(*value >= f.min) || !(*value <= f.max)) return false;
    config.*f.member = *value;
    return true;
  }
  bool operator()(const BooleanField& f) const {
    if (text != "true" && text != "false") return false;
    config.*f.member = text == "true";
    return true;
  }
  bool operator()(const ChoiceField& f) const {
    const auto found = std::find(f.names.begin(), f.names.end(), text);
    if (found == f.names.end()) return false;
    f.set(config, static_cast<size_t>(found - f.names.begin()));
    return true;
  }
  bool operator()(const MaskField& f) const {
    std::optional<CpuMask> mask;
    if (text != "none") {
      mask = CpuMask::parse(text);
      if (!mask || mask->empty()) return false;
    }
    config.*f.member = std::move(mask);
    return true;
  }
};

}  // namespace

std::span<const ConfigField> config_fields() { return kFields; }

std::string option_name(const ConfigField& field) {
  std::string name = "--" + std::string(field.name);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::string expected(const ConfigField& field) { return std::visit(Expected{}, field.kind); }

std::string value_text(const ConfigField& field, const Config& config) {
  return std::visit(ValueText{config}, field.kind);
}

bool set_from_text(const ConfigField& field, std::string_view text, Config& config) {
  return std::visit(SetFromText{text, config}, field.kind);
}

void validate(const Config& config) {
  // What a value is shown as is taken back exactly where the value is in range.
  Config ignored;
  for (const ConfigField& field : kFields) {
    const std::string shown = value_text(field, config);
    if (!set_from_text(field, shown, ignored)) {
      fail(ErrorCode::usage, "{}: found {}, expected {}", field.name, shown, expected(field));
    }
  }
}

}  // namespace qvl
