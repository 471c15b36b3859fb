// Bringing weights into the order their kernels read, once, in parallel, and keeping the result in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/matmul/packed_weight.h"
#include "memory/address_range.h"
#include "memory/ledger.h"
#include "memory/system_memory.h"
#include "ops/outlying.h"
#include "tensor/tensor.h"
#include "threads/thread_pool.h"

namespace qvl {

/// A weight read where it lies: nothing is copied.
PackedWeight stored_weight(const TensorView& view, Isa isa);

/// The layer that the inputs of a weight come out of.
struct Producer {
  TensorView weight;                     // [inputs of the weight, its own inputs]
  std::vector<float> input_sizes, bias;  // as LayerNumbers
};

/// What is known of the inputs of a weight before there is a picture.
struct KnownInputs {
  std::vector<int32_t> outlying = {};  ///< ascending, at most kMostRepeated
  std::optional<Producer> producer =
      std::nullopt;  ///< where given, the outlying ones are found while packing
};

/// What became of the cache file.
enum class CacheOutcome {
  none,     ///< no file was wanted, or nothing was packed
  used,     ///< the weights were in it
  written,  ///< they were not, and are now
  failed,   ///< it could not be written: PackReport::problem says why; the weights are in memory
};
struct PackReport {
  CacheOutcome cache = CacheOutcome::none;
  std::string problem = {};
  bool damaged = false;       ///< the cache file that was there did not hold what it said
  uint64_t bytes = 0;         ///< packed weights
  std::string contents = {};  ///< hash of what was packed, as ContentHash::text(); empty where nothing was
};

struct PackOptions {
  std::filesystem::path cache_file = {};  ///< empty: none
  /// What the system says of the files behind the sources, from which it shows where they changed. Empty:
  /// that is not known, and their contents are read to tell whether the cache file is theirs.
  std::string source_state = {};
  HugePages huge_pages = HugePages::off;  ///< of weights that lie in memory of our own
  std::function<void(double)> progress = {};
  std::stop_token stop = {};  ///< looked at between shares of the work
  /// Where sources and buffers are set down while they are read; null: nowhere.
  Ledger* ledger = nullptr;
  /// Told of source bytes that are not needed any more; their pages would count as ours until the system
  /// wants them back.
  std::function<void(std::span<const std::byte>)> release = {};
};

/// Collects weights, hands out where they will lie, and fills that memory at the end. Thread-compatible.
class WeightPacker {
 public:
  /// `address_bytes`: more than all weights will take, packed; addresses only.
  WeightPacker(Isa isa, uint64_t address_bytes) : isa_(isa), range_(address_bytes) {}

  /// The rows of `parts`, one after another, as one weight of a quantised `form`, for inputs with the rest
  /// that `rest_rule` names. What rounding leaves of the columns of outlying inputs is packed too: for 7 and
  /// 8 bits; other forms, and levels taken over as they are, go without. The views outlive pack().
  PackedWeight add(std::vector<TensorView> parts, WeightForm form, RestRule rest_rule = RestRule::outlying,
                   KnownInputs known = {});
  /// The rows of one weight as BF16.
  PackedWeight add_bf16(const TensorView& view);

  /// Fills all weights handed out: from the cache file where it fits, else from the sources. Throws
  /// Error{limit} where memory does not suffice, Error{cancelled} where `options.stop` ended it: then the
  /// weights are not usable, and no file was written. A cache that is damaged, of other sources or cannot be
  /// written is no error.
  PackReport pack(ThreadPool& pool, const PackOptions& options);
  /// All packed weights.
  std::span<const std::byte> packed() const { return {range_.data(), used_}; }
  /// Whether `bytes` are the source of a packed weight, and so in PackReport::contents.
  bool packs(std::span<const std::byte> bytes) const;
  /// Throws Error{model_file} "PATH: changed while in use: ..." where the cache file behind the weights
  /// shrank or was changed by others.
  void check_undamaged() const { range_.check_undamaged(cache_file_); }

 private:
  struct Job {
    std::vector<TensorView> parts;
    WeightForm form;  // stored: BF16 rows
    int64_t outputs, inputs;
    uint64_t offset, bytes;
    uint64_t input_scale = 0;  // where the scales of inputs lie in the job, of quantised forms
    uint64_t repeated = 0;     // where the outlying inputs lie in the job that are found while packing
    KnownInputs known = {};
  };

  std::byte* place(Job job);
  std::string layout() const;
  std::string hash_sources(ThreadPool& pool, const PackOptions& options) const;
  bool use_cache_file(ThreadPool& pool, const PackOptions& options, PackReport& report);
  float* input_scale_of(const Job& job) const;
  std::span<int32_t> found_inputs_of(const Job& job) const;
  std::span<const int32_t> repeated_of(const Job& job) const;
  void find_outlying(const Job& job, ThreadPool& pool) const;
  bool found_inputs_are_valid() const;
  uint64_t staging_bytes(int threads) const;
  std::string run_jobs(ThreadPool& pool, const PackOptions& options) const;
  void repack_rows(const Job& job, int64_t first, int64_t last) const;
  void run_rows(const Job& job, int64_t first, int64_t last, std::span<float> rows) const;

  Isa isa_;
  AddressRange range_;
  uint64_t used_ = 0;
  std::filesystem::path cache_file_ = {};  // as pack() was told
  std::vector<Job> jobs_;
};

}  // namespace qvl
