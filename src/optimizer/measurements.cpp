#include "optimizer/measurements.h"

#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace qvl {
namespace {

constexpr uint64_t kMostFileBytes = 64 << 10;
// Changes where kernels or measurements become others: then older rates mean nothing.
constexpr int kVersion = 1;

// What a rate of a machine can be; a file that says else is damaged.
struct Bounds {
  double min, max;
};
constexpr Bounds kReadBounds{0.01, 1e5}, kInt8Bounds{0.01, 1e7}, kSmtBounds{0.1, 8};

MeasuredRates parse_rates(const std::string& text, const JsonSource& source, const std::string& fingerprint) {
  Json document = parse_json(text, source);
  const EmptiedAtEnd document_end(document);
  const JsonObject root(document, source);
  root.integer("version", kVersion, kVersion);
  if (root.string("fingerprint") != fingerprint) root.refuse("fingerprint", "of another machine");
  MeasuredRates rates;
  if (root.has("read_gb_s")) rates.read_gb_s = root.number("read_gb_s", kReadBounds.min, kReadBounds.max);
  if (root.has("smt_speedup")) rates.smt_speedup = root.number("smt_speedup", kSmtBounds.min, kSmtBounds.max);
  const JsonObject int8 = root.object("int8_gop_s");
  for (const auto& [name, value] : int8.json().items()) {
    const auto isa = isa_named(name);
    if (!isa) int8.refuse(name, "unknown instruction set");
    rates.int8_gop_s[*isa] = int8.number(name, kInt8Bounds.min, kInt8Bounds.max);
  }
  return rates;
}

}  // namespace

std::filesystem::path rates_file(const std::filesystem::path& cache_folder) {
  return cache_folder / "machine.json";
}

std::optional<MeasuredRates> read_rates(const std::filesystem::path& path, const std::string& fingerprint) {
  const JsonSource source{
      .name = path_name(path), .code = ErrorCode::environment, .max_depth = 4, .max_values = 100};
  try {
    return parse_rates(read_file(path, kMostFileBytes, source.code), source, fingerprint);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void write_rates(const std::filesystem::path& path, const std::string& fingerprint,
                 const MeasuredRates& rates) {
  OrderedJson json = {{"version", kVersion}, {"fingerprint", fingerprint}};
  if (rates.read_gb_s) json["read_gb_s"] = *rates.read_gb_s;
  if (rates.smt_speedup) json["smt_speedup"] = *rates.smt_speedup;
  json["int8_gop_s"] = OrderedJson::object();
  for (const auto& [isa, gop_s] : rates.int8_gop_s) json["int8_gop_s"][std::string(name_of(isa))] = gop_s;
  std::error_code ignored;  // the file tells whether the folder is there
  std::filesystem::create_directories(path.parent_path(), ignored);
  AtomicFile file(path, ErrorCode::environment);
  // A processor's name is whatever the system tells.
  file.write(json.dump(2, ' ', true, OrderedJson::error_handler_t::replace) + "\n");
  file.commit();
}

bool measure_missing(const HardwareFacts& hardware, const Measure& measure, MeasuredRates& rates) {
  bool measured = false;
  if (!rates.read_gb_s) {
    rates.read_gb_s = measure.read_gb_s();
    measured = true;
  }
  for (Isa isa : hardware.isas) {
    if (rates.int8_gop_s.contains(isa)) continue;
    rates.int8_gop_s[isa] = measure.int8_gop_s(isa);
    measured = true;
  }
  const bool several_threads = static_cast<size_t>(hardware.cores()) < hardware.cpus.size();
  if (several_threads && !rates.smt_speedup) {
    rates.smt_speedup = measure.smt_speedup();
    measured = true;
  }
  return measured;
}

}  // namespace qvl
