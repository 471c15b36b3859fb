#include "ops/weight_packer.h"

#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "kernels/matmul/blocked_matmul.h"
#include "kernels/matmul/encode.h"
#include "kernels/matmul/repack.h"
#include "memory/admission.h"
#include "ops/input_scales.h"
#include "ops/pack_cache.h"
#include "ops/source_record.h"

namespace qvl {
namespace {

// Changes where packed bytes would differ for the same sources: then older files are not used.
constexpr int kPackingVersion = 5;
constexpr uint64_t kAlignment = 64;

int64_t rows_of(const TensorView& view) { return static_cast<int64_t>(view.shape[0]); }
int64_t inputs_of(const TensorView& view) {
  QVL_CHECK(view.shape.size() >= 2 && view.shape[0] > 0);
  return static_cast<int64_t>(view.elements() / view.shape[0]);
}
uint64_t row_bytes_of(const TensorView& view) {
  const auto bytes = bytes_for(view.dtype, static_cast<uint64_t>(inputs_of(view)));
  QVL_CHECK(bytes.has_value() && view.bytes.size() == *bytes * view.shape[0]);
  return *bytes;
}

// The numbers that outlying inputs are found by, besides the weight itself, which is packed too.
std::string description(const Producer& producer) {
  return fmt::format("{} {:016x} {:016x}", to_string(producer.weight.shape),
                     XXH3_64bits(producer.input_sizes.data(), producer.input_sizes.size() * sizeof(float)),
                     XXH3_64bits(producer.bias.data(), producer.bias.size() * sizeof(float)));
}

void check_not_stopped(const PackOptions& options) {
  if (options.stop.stop_requested()) fail(ErrorCode::cancelled, "packing the weights was stopped");
}

// A row as it is stored.
struct StoredRow {
  const std::byte* data;
  DType dtype;
};

// Row `row` of all parts taken together.
StoredRow stored_row(std::span<const TensorView> parts, int64_t row) {
  for (const TensorView& part : parts) {
    if (row < rows_of(part)) {
      return {part.bytes.data() + static_cast<uint64_t>(row) * row_bytes_of(part), part.dtype};
    }
    row -= rows_of(part);
  }
  QVL_CHECK(false);
}

// The same in float32.
void decode_row(std::span<const TensorView> parts, int64_t row, float* out) {
  const StoredRow stored = stored_row(parts, row);
  decoder(stored.dtype)(stored.data, static_cast<size_t>(inputs_of(parts.front())), out);
}

bool all_can_repack(const std::vector<TensorView>& parts, WeightForm form) {
  return std::all_of(parts.begin(), parts.end(),
                     [&](const TensorView& part) { return can_repack(part.dtype, form); });
}

// One panel of outputs from blocks as they are stored. rows: the stored rows
template <typename Block, void (*repack)(const StoredRows&, Block&)>
void repack_panel(std::span<const StoredRow> rows, int64_t inputs, std::byte* out) {
  const uint64_t group_bytes = *bytes_for(rows.front().dtype, kGroup);
  for (int64_t group = 0; group < groups_of(inputs); ++group) {
    StoredRows in{
        .rows = {}, .outputs = std::ssize(rows), .length = std::min(kGroup, inputs - group * kGroup)};
    for (size_t o = 0; o < rows.size(); ++o) {
      in.rows[o] = rows[o].data + static_cast<uint64_t>(group) * group_bytes;
    }
    Block block;
    repack(in, block);
    std::memcpy(out + group * static_cast<int64_t>(sizeof block), &block, sizeof block);
  }
}

void encode(const BlockRows& in, Isa, Q8Block& out) { encode_q8(in, out); }
void encode(const BlockRows& in, Isa isa, Q7Block& out) { encode_q7(in, isa, out); }
void encode(const BlockRows& in, Isa isa, Q4Block& out) { encode_q4(in, isa, out); }
float decode(const Q8Block& block, int64_t output, int64_t input) { return decode_q8(block, output, input); }
float decode(const Q7Block& block, int64_t output, int64_t input) { return decode_q7(block, output, input); }
float decode(const Q4Block& block, int64_t output, int64_t input) { return decode_q4(block, output, input); }

// Decoded rows of one panel, [outputs <= kPanel, inputs].
struct PanelRows {
  const float* rows;
  int64_t outputs, inputs;
};

template <typename Block>
Block block_at(const std::byte* blocks, int64_t group) {
  Block block;
  std::memcpy(&block, blocks + group * static_cast<int64_t>(sizeof block), sizeof block);
  return block;
}

template <typename Block>
void put_block(const Block& block, std::byte* blocks, int64_t group) {
  std::memcpy(blocks + group * static_cast<int64_t>(sizeof block), &block, sizeof block);
}

// The group behind all others of a panel: what rounding left of some columns. blocks: the panel's
template <typename Block>
void encode_repeated(const PanelRows& in, std::span<const int32_t> repeated, Isa isa, std::byte* blocks) {
  std::array<float, kPanel * kGroup> rest;
  const auto length = std::ssize(repeated);
  BlockRows rows{.rows = {}, .outputs = in.outputs, .length = length};
  for (int64_t o = 0; o < in.outputs; ++o) rows.rows[o] = rest.data() + o * length;
  for (int64_t i = 0; i < length; ++i) {
    const int64_t input = repeated[static_cast<size_t>(i)];
    const Block block = block_at<Block>(blocks, input / kGroup);
    for (int64_t o = 0; o < in.outputs; ++o) {
      rest[static_cast<size_t>(o * length + i)] =
          in.rows[o * in.inputs + input] - decode(block, o, input % kGroup);
    }
  }
  Block block;
  encode(rows, isa, block);
  put_block(block, blocks, groups_of(in.inputs));
}

template <typename Block>
void encode_panel(const PanelRows& in, std::span<const int32_t> repeated, Isa isa, std::byte* blocks) {
  for (int64_t group = 0; group < groups_of(in.inputs); ++group) {
    BlockRows rows{.rows = {}, .outputs = in.outputs, .length = std::min(kGroup, in.inputs - group * kGroup)};
    for (int64_t o = 0; o < in.outputs; ++o) rows.rows[o] = in.rows + o * in.inputs + group * kGroup;
    Block block;
    encode(rows, isa, block);
    put_block(block, blocks, group);
  }
  if (!repeated.empty()) encode_repeated<Block>(in, repeated, isa, blocks);
}

}  // namespace

PackedWeight stored_weight(const TensorView& view, Isa isa) {
  return {.form = WeightForm::stored,
          .dtype = view.dtype,
          .outputs = rows_of(view),
          .inputs = inputs_of(view),
          .data = view.bytes.data(),
          .row_bytes = row_bytes_of(view),
          .kernel = &matmul_kernel(WeightForm::stored, isa)};
}

std::byte* WeightPacker::place(Job job) {
  job.offset = (used_ + kAlignment - 1) / kAlignment * kAlignment;
  used_ = job.offset + job.bytes;
  QVL_CHECK(used_ <= range_.size());
  std::byte* at = range_.data() + job.offset;
  jobs_.push_back(std::move(job));
  return at;
}

PackedWeight WeightPacker::add(std::vector<TensorView> parts, WeightForm form, RestRule rest_rule,
                               KnownInputs known) {
  QVL_CHECK(form != WeightForm::stored && !parts.empty());
  int64_t outputs = 0;
  const int64_t inputs = inputs_of(parts.front());
  for (const TensorView& part : parts) {
    QVL_CHECK(inputs_of(part) == inputs);
    outputs += rows_of(part);
  }
  QVL_CHECK(known.outlying.size() <= kMostRepeated);
  QVL_CHECK(!known.producer || rows_of(known.producer->weight) == inputs);
  if (!keeps_rests(parts, &TensorView::dtype, form)) known = {};
  const bool repeats = !known.outlying.empty() || known.producer;
  const auto panel_bytes = static_cast<uint64_t>((groups_of(inputs) + (repeats ? 1 : 0)) * block_bytes(form));
  const uint64_t block_bytes = static_cast<uint64_t>(panels_of(outputs)) * panel_bytes;
  const uint64_t scale_bytes = static_cast<uint64_t>(inputs) * sizeof(float);
  const uint64_t found_bytes = known.producer ? kMostRepeated * sizeof(int32_t) : 0;
  const std::byte* data = place({.parts = std::move(parts),
                                 .form = form,
                                 .outputs = outputs,
                                 .inputs = inputs,
                                 .offset = 0,
                                 .bytes = block_bytes + scale_bytes + found_bytes,
                                 .input_scale = block_bytes,
                                 .repeated = block_bytes + scale_bytes,
                                 .known = std::move(known)});
  return {.form = form,
          .dtype = DType::f32,
          .outputs = outputs,
          .inputs = inputs,
          .data = data,
          .input_scale = input_scale_of(jobs_.back()),
          .rest_rule = rest_rule,
          .repeated = repeated_of(jobs_.back()),  // stays where it is when jobs move
          .row_bytes = panel_bytes,
          .kernel = &matmul_kernel(form, isa_)};
}

PackedWeight WeightPacker::add_bf16(const TensorView& view) {
  const int64_t outputs = rows_of(view), inputs = inputs_of(view);
  const auto row_bytes = static_cast<uint64_t>(inputs) * sizeof(uint16_t);
  const std::byte* data = place({.parts = {view},
                                 .form = WeightForm::stored,
                                 .outputs = outputs,
                                 .inputs = inputs,
                                 .offset = 0,
                                 .bytes = static_cast<uint64_t>(outputs) * row_bytes});
  return {.form = WeightForm::stored,
          .dtype = DType::bf16,
          .outputs = outputs,
          .inputs = inputs,
          .data = data,
          .row_bytes = row_bytes,
          .kernel = &matmul_kernel(WeightForm::stored, isa_)};
}

// What is packed, and where it lies.
std::string WeightPacker::layout() const {
  std::string text = fmt::format("qvl {}\n", kPackingVersion);
  for (const Job& job : jobs_) {
    text += fmt::format("{} {} {} {}:", name_of(job.form), job.outputs, job.inputs, job.offset);
    for (const TensorView& part : job.parts) {
      text += fmt::format(" {}{}", info(part.dtype).name, to_string(part.shape));
    }
    if (!job.known.outlying.empty()) text += fmt::format(" twice {}", fmt::join(job.known.outlying, ","));
    if (job.known.producer) text += " from " + description(*job.known.producer);
    text += '\n';
  }
  return text;
}

float* WeightPacker::input_scale_of(const Job& job) const {
  return static_cast<float*>(static_cast<void*>(range_.data() + job.offset + job.input_scale));
}

// Empty where none are to be found.
std::span<int32_t> WeightPacker::found_inputs_of(const Job& job) const {
  if (!job.known.producer) return {};
  return {static_cast<int32_t*>(static_cast<void*>(range_.data() + job.offset + job.repeated)),
          kMostRepeated};
}

std::span<const int32_t> WeightPacker::repeated_of(const Job& job) const {
  return job.known.producer ? std::span<const int32_t>(found_inputs_of(job)) : job.known.outlying;
}

// Needs the scales of inputs, which go into what the product sees.
void WeightPacker::find_outlying(const Job& job, ThreadPool& pool) const {
  const Producer& from = *job.known.producer;
  std::vector<float> sizes = output_sizes(pool,
                                          {.outputs = job.inputs,
                                           .inputs = inputs_of(from.weight),
                                           .input_sizes = from.input_sizes,
                                           .bias = from.bias},
                                          [&](int64_t row, float* out) {
                                            decode_row({&from.weight, 1}, row, out);
                                          });
  const float* scale = input_scale_of(job);
  for (size_t i = 0; i < sizes.size(); ++i) sizes[i] *= scale[i];
  const std::vector<int32_t> found = outlying(sizes);
  const std::span<int32_t> out = found_inputs_of(job);
  std::fill(std::copy(found.begin(), found.end(), out.begin()), out.end(), -1);
}

// They come from a file, and products take them for places of inputs.
bool WeightPacker::found_inputs_are_valid() const {
  return std::all_of(jobs_.begin(), jobs_.end(), [&](const Job& job) {
    const auto found = found_inputs_of(job);
    return std::all_of(found.begin(), found.end(), [&](int32_t input) { return input < job.inputs; });
  });
}

// Takes the blocks of outputs [first, last) over, first a multiple of kPanel.
void WeightPacker::repack_rows(const Job& job, int64_t first, int64_t last) const {
  std::byte* out = range_.data() + job.offset;
  for (int64_t panel = first; panel < last; panel += kPanel) {
    std::array<StoredRow, kPanel> rows;
    const auto count = static_cast<size_t>(std::min(kPanel, job.outputs - panel));
    for (size_t o = 0; o < count; ++o) {
      rows[o] = stored_row(job.parts, panel + static_cast<int64_t>(o));
    }
    std::byte* at = out + panel / kPanel * groups_of(job.inputs) * block_bytes(job.form);
    const auto stored = std::span(rows).first(count);
    job.form == WeightForm::q4 ? repack_panel<Q4Block, repack_q4_0>(stored, job.inputs, at)
                               : repack_panel<Q7Block, repack_q6_k>(stored, job.inputs, at);
  }
}

// Packs outputs [first, last), first a multiple of kPanel. `rows` is scratch for kPanel rows.
void WeightPacker::run_rows(const Job& job, int64_t first, int64_t last, std::span<float> rows) const {
  std::byte* out = range_.data() + job.offset;
  for (int64_t panel = first; panel < last; panel += kPanel) {
    const int64_t count = std::min(kPanel, job.outputs - panel);
    for (int64_t o = 0; o < count; ++o) decode_row(job.parts, panel + o, rows.data() + o * job.inputs);
    if (job.form == WeightForm::stored) {
      for (int64_t i = 0; i < count * job.inputs; ++i) {
        const uint16_t bits = f32_to_bf16(rows[static_cast<size_t>(i)]);
        std::memcpy(out + (panel * job.inputs + i) * 2, &bits, sizeof bits);
      }
      continue;
    }
    const float* scale = input_scale_of(job);
    for (int64_t o = 0; o < count; ++o) {
      float* row = rows.data() + o * job.inputs;
      for (int64_t i = 0; i < job.inputs; ++i) row[i] /= scale[i];
    }
    const auto all_repeated = repeated_of(job);
    const int64_t groups = groups_of(job.inputs) + (all_repeated.empty() ? 0 : 1);
    const auto repeated = used_part(all_repeated);
    std::byte* at = out + panel / kPanel * groups * block_bytes(job.form);
    const PanelRows in{.rows = rows.data(), .outputs = count, .inputs = job.inputs};
    if (job.form == WeightForm::q8) {
      encode_panel<Q8Block>(in, repeated, isa_, at);
    } else if (job.form == WeightForm::q7) {
      encode_panel<Q7Block>(in, repeated, isa_, at);
    } else {
      encode_panel<Q4Block>(in, repeated, isa_, at);
    }
  }
}

std::string WeightPacker::hash_sources(ThreadPool& pool, const PackOptions& options) const {
  ContentHash hash;
  for (const Job& job : jobs_) {
    for (const TensorView& part : job.parts) {
      hash.add(part.bytes, pool, options.stop);
      if (options.release) options.release(part.bytes);
    }
  }
  return hash.text();
}

// The pages of the largest source, which go when it is packed, and decoded rows of each thread.
uint64_t WeightPacker::staging_bytes(int threads) const {
  uint64_t most = 0;
  for (const Job& job : jobs_) {
    uint64_t bytes = static_cast<uint64_t>(threads * kPanel * job.inputs) * sizeof(float);
    for (const TensorView& part : job.parts) bytes += part.bytes.size();
    if (job.known.producer) bytes += job.known.producer->weight.bytes.size();
    most = std::max(most, bytes);
  }
  return most;
}

// Packs everything and returns the hash of the sources, which are read once for both.
std::string WeightPacker::run_jobs(ThreadPool& pool, const PackOptions& options) const {
  std::vector<Reservation> staging;
  if (options.ledger != nullptr) {
    const MemoryNeed need{.part = MemoryPart::staging, .bytes = staging_bytes(pool.size())};
    staging = admit(*options.ledger, "packing the weights needs", {&need, 1});
  }
  std::vector<std::vector<float>> scratch(static_cast<size_t>(pool.size()));
  ContentHash hash;
  uint64_t done = 0;
  for (const Job& job : jobs_) {
    for (const TensorView& part : job.parts) hash.add(part.bytes, pool, options.stop);
    check_not_stopped(options);
    constexpr int64_t share = 4 * kPanel;
    const bool repacks = all_can_repack(job.parts, job.form);
    for (auto& rows : scratch) rows.resize(repacks ? 0 : static_cast<size_t>(kPanel * job.inputs));
    if (repacks) {
      std::fill_n(input_scale_of(job), job.inputs, 1.0f);  // the scales in the file are of whole blocks
    } else if (job.form != WeightForm::stored) {
      write_input_scales(
          pool, job.outputs, job.inputs, [&](int64_t row, float* out) { decode_row(job.parts, row, out); },
          input_scale_of(job));
      if (job.known.producer) find_outlying(job, pool);
    }
    pool.parallel_for(static_cast<size_t>((job.outputs + share - 1) / share), 1,
                      [&](size_t begin, size_t, int worker) {
                        if (options.stop.stop_requested()) return;
                        const int64_t first = static_cast<int64_t>(begin) * share;
                        const int64_t last = std::min(first + share, job.outputs);
                        if (repacks) return repack_rows(job, first, last);
                        run_rows(job, first, last, scratch[static_cast<size_t>(worker)]);
                      });
    if (options.release) {
      for (const TensorView& part : job.parts) options.release(part.bytes);
      if (job.known.producer) options.release(job.known.producer->weight.bytes);
    }
    done += job.bytes;
    if (options.progress) options.progress(static_cast<double>(done) / static_cast<double>(used_));
  }
  check_not_stopped(options);
  return hash.text();
}

bool WeightPacker::packs(std::span<const std::byte> bytes) const {
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const Job& job) {
    return std::any_of(job.parts.begin(), job.parts.end(),
                       [&](const TensorView& part) { return part.bytes.data() == bytes.data(); });
  });
}

// False where the cache file does not serve. Only where the system cannot tell that the sources are as they
// were are they read.
bool WeightPacker::use_cache_file(ThreadPool& pool, const PackOptions& options, PackReport& report) {
  std::error_code error;
  if (!std::filesystem::exists(options.cache_file, error)) return false;
  const auto recorded = recorded_contents(options.cache_file, options.source_state);
  const std::string contents = recorded ? *recorded : hash_sources(pool, options);
  const auto state =
      map_packed_file(options.cache_file, layout() + contents, used_, range_, pool, options.stop);
  report.damaged =
      state == PackedFileState::damaged || (state == PackedFileState::fits && !found_inputs_are_valid());
  if (state != PackedFileState::fits || report.damaged) return false;
  if (!recorded) record_contents(options.cache_file, options.source_state, contents);
  report.contents = contents;
  report.cache = CacheOutcome::used;
  return true;
}

PackReport WeightPacker::pack(ThreadPool& pool, const PackOptions& options) {
  cache_file_ = options.cache_file;
  PackReport report{.bytes = used_};
  if (used_ == 0) return report;
  if (!options.cache_file.empty() && used_ >= kLeastPackedFile) {
    if (use_cache_file(pool, options, report)) return report;
    check_not_stopped(options);
    PackedFileWriter writer(options.cache_file, used_, range_);
    if (writer.problem().empty()) {
      report.contents = run_jobs(pool, options);
      const bool kept = writer.commit(layout() + report.contents, range_, pool, options.stop);
      if (kept) record_contents(options.cache_file, options.source_state, report.contents);
      report.cache = kept ? CacheOutcome::written : CacheOutcome::failed;
      report.problem = writer.problem();
      range_.make_read_only(used_);
      return report;
    }
    report.cache = CacheOutcome::failed;
    report.problem = writer.problem();
  }
  if (!range_.back_with_memory(used_, options.huge_pages)) {
    fail(ErrorCode::limit, "not enough memory for the packed weights ({} MiB)", used_ >> 20);
  }
  report.contents = run_jobs(pool, options);
  range_.make_read_only(used_);
  return report;
}

}  // namespace qvl
