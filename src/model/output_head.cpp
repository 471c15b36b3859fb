#include "model/output_head.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "optimizer/model_facts.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

// 4-bit logits of random and trained heads put the best token among their first few; sampling rarely looks
// beyond 20.
constexpr size_t kRefined = kRefinedLogits;

// Indices of the largest values, in no order.
std::array<size_t, kRefined> largest(std::span<const float> values) {
  std::array<size_t, kRefined> best;
  for (size_t i = 0; i < kRefined; ++i) best[i] = i;
  const auto smaller = [&](size_t a, size_t b) {
    return values[a] > values[b];
  };  // a heap with the least on top
  std::make_heap(best.begin(), best.end(), smaller);
  for (size_t i = kRefined; i < values.size(); ++i) {
    if (!(values[i] > values[best.front()])) continue;
    std::pop_heap(best.begin(), best.end(), smaller);
    best.back() = i;
    std::push_heap(best.begin(), best.end(), smaller);
  }
  return best;
}

}  // namespace

OutputHead::OutputHead(const std::string& name, uint64_t vocabulary, uint64_t hidden, WeightBinder& binder)
    : source_(binder.source()), weights_(binder.linear(name, vocabulary, hidden)) {
  if (weights_.parts.empty() || weights_.reader().form != WeightForm::q4 || vocabulary <= kRefined) return;
  stored_ = *binder.view(name + ".weight", {vocabulary, hidden});
}

void OutputHead::logits(const float* hidden, int64_t rows, float* out, Ops& ops) const {
  const PackedWeight& weight = weights_.reader();
  ops.linear(ops.input(hidden, rows, weight), {.weights = weights_.parts, .bias = {}, .y = out});
  if (stored_.bytes.empty()) return;
  for (int64_t first = 0; first < rows; first += kMostRefinedTokens) {
    const int64_t count = std::min(kMostRefinedTokens, rows - first);
    ops.pool().parallel_for(static_cast<size_t>(count), 1, [&](size_t begin, size_t end, int) {
      for (size_t row = static_cast<size_t>(first) + begin; row < static_cast<size_t>(first) + end; ++row) {
        refine(hidden + row * static_cast<size_t>(weight.inputs),
               {out + row * static_cast<size_t>(weight.outputs), static_cast<size_t>(weight.outputs)});
      }
    });
    if (count == kMostRefinedTokens) source_.release(stored_.bytes);
  }
}

void OutputHead::refine(const float* hidden, std::span<float> logits) const {
  const size_t width = stored_.shape[1];
  const uint64_t row_bytes = *bytes_for(stored_.dtype, width);
  constexpr size_t kPart = 256;  // a whole number of blocks of every stored type
  std::array<float, kPart> values;
  for (size_t token : largest(logits)) {
    const std::byte* row = stored_.bytes.data() + token * row_bytes;
    double sum = 0;
    for (size_t first = 0; first < width; first += kPart) {
      const size_t count = std::min(kPart, width - first);
      decoder(stored_.dtype)(row + *bytes_for(stored_.dtype, first), count, values.data());
      for (size_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * hidden[first + i];
    }
    logits[token] = static_cast<float>(sum);
  }
}

}  // namespace qvl
