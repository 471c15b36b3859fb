// How fast a loaded checkpoint is on this machine, beside what the machine could do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qvl/qvl.h"

namespace qvl {

struct BenchmarkOptions {
  std::vector<int64_t> image_sizes = {512, 1024};  ///< sides of square pictures, multiples of 32
  int64_t prompt_tokens = 512;
  int64_t decode_tokens = 32;
  std::vector<int64_t> streams = {1, 8};  ///< sequences decoded together
  int64_t repeat = 1;                     ///< each measurement, after one that is not counted; medians count
};

/// Median and extremes of the repetitions.
struct Spread {
  double median = 0, least = 0, most = 0;
  std::vector<double> values = {};  ///< of each, in the order they were measured
};

/// What the machine does at best on the threads of the model: measured before, between and after the stages,
/// and the best of all, since whatever else runs only makes it slower.
struct MachinePeaks {
  /// 10^9 bytes a second read from memory; nothing where what is read for it finds no room below the limit
  std::optional<double> read_gb_s = {};
  double int8_gop_s = 0;  ///< 10^9 8-bit multiplications and additions a second, from the first cache
};

struct EncodeResult {
  int64_t size = 0, patches = 0;
  Spread seconds;
  double gop = 0;  ///< 10^9 multiplications and additions of the work
};
struct DecodeResult {
  int64_t streams = 0;
  Spread tokens_per_s;  ///< of all streams together
};

struct BenchmarkReport {
  MachinePeaks peaks;
  std::string why_no_reads = {};  ///< one line where peaks.read_gb_s is nothing
  std::vector<EncodeResult> encode;
  int64_t prompt_tokens = 0;
  Spread prefill_tokens_per_s;
  double prefill_gop_per_token = 0;
  std::vector<DecodeResult> decode;
  double weight_bytes_per_step = 0;  ///< read for one decoding step, whatever the number of streams
  /// From pixels to the first token's logits, for the largest picture with 16 tokens of text.
  int64_t first_token_size = 0;
  double first_token_s = 0;
};

/// Measures on random pixels and tokens. Progress tells the stage "bench" with what is measured as detail.
/// Throws Error{usage} "FIELD: found ..., expected ...", Error{limit} for what does not fit the context or
/// the memory, Error{model_file} where a logit is not finite, Error{cancelled} where `listeners.stop` ended
/// it, within a chunk, a token or a block of the tower.
BenchmarkReport benchmark(const Model& model, const BenchmarkOptions& options, const Listeners& listeners);

}  // namespace qvl
