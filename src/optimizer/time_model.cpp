// Rates of one core are those of docs/benchmarks.md. With the instruction set, they scale to what was
// measured of the machine.
#include "optimizer/time_model.h"

#include <algorithm>

#include "optimizer/memory_model.h"
#include "optimizer/work.h"

namespace qvl {
namespace {

// 10^9 operations a second of one core.
struct CoreRates {
  Isa isa;
  double f32, q8, q7, q4;
  double attention;      // of keys and values in blocks
  double f32_attention;  // there is one kernel for it, a scalar one
};
constexpr CoreRates kRates[] = {{Isa::scalar, 8, 6, 6, 5, 5, 3},
                                {Isa::avx2, 100, 245, 285, 325, 155, 3},
                                {Isa::avxvnni, 100, 430, 430, 390, 155, 3},
                                {Isa::avx512, 145, 870, 870, 740, 325, 3}};

constexpr double kAssumedReadGbS = 12;              // a laptop with two channels of memory, in use
constexpr double kAssumedSmtSpeedup = 0.97;         // both threads of a core share its vector units
constexpr double kEfficiencyCore = 0.5;             // of a performance core
constexpr double kRest = 1.15;                      // norms, quantising, rotation beside the products
constexpr double kDecodedWeightsPerSecond = 4.5e8;  // of a core, from blocks of GGUF: measured with Q4_K
constexpr double kPackedWeightsPerSecond = 0.1e9;   // by one core
constexpr double kDiskBytesPerSecond = 1e9;
// A loop of the pool begins on threads that wait awake, or that sleep and must be woken.
constexpr double kAwakeLoopSeconds = 1e-6, kAsleepLoopSeconds = 20e-6;
constexpr double kLoopsPerLayer = 14;
constexpr double kPinningGain = 0.01;    // caches stay warm
constexpr double kHugePageGain = 0.015;  // fewer page walks, on what is read from such memory
constexpr int64_t kMeanReferenceKeys = kReferencePromptTokens + kReferenceAnswerTokens / 2;

const CoreRates& rates_of(Isa isa) {
  return *std::find_if(std::begin(kRates), std::end(kRates), [&](const auto& row) { return row.isa == isa; });
}

double form_rate(const CoreRates& rates, WeightForm form) {
  switch (form) {
    case WeightForm::q8:
      return rates.q8;
    case WeightForm::q7:
      return rates.q7;
    case WeightForm::q4:
      return rates.q4;
    case WeightForm::stored:
      break;
  }
  return rates.f32;
}

double fastest_int8(const CoreRates& rates) { return std::max(rates.q8, rates.q4); }

// All threads of a plan together.
class Engine {
 public:
  Engine(const PlanInputs& inputs, const Plan& plan) : inputs_(inputs), plan_(plan) {
    const Isa isa = plan.forms.isa;
    scale_ = int8_gop_s_per_core(inputs.hardware, isa) / fastest_int8(rates_of(isa));
    cores_ = working_cores();
    if (inputs.hardware.cpu_quota) cores_ = std::min(cores_, *inputs.hardware.cpu_quota);
    cores_ *= plan.duty_cycle;
    if (!plan.pinned_cpus.empty()) cores_ *= 1 + kPinningGain;
  }

  double product_seconds(double operations, WeightPlace place) const {
    return operations / (form_rate(rates(), form(place)) * scale_ * cores_ * 1e9);
  }
  double attention_seconds(double operations, bool blocked) const {
    const double rate = blocked ? rates().attention : rates().f32_attention;
    const double gain = plan_.huge_pages ? 1 + kHugePageGain : 1;
    return operations / (rate * gain * scale_ * cores_ * 1e9);
  }
  double read_seconds(double bytes, bool huge) const {
    const double gain = huge ? 1 + kHugePageGain : 1;
    return bytes / (read_gb_s(inputs_.hardware) * gain * plan_.duty_cycle * 1e9);
  }
  double loop_seconds(double loops) const {
    if (plan_.threads == 1) return 0;
    return loops * (plan_.spin_us > 0 ? kAwakeLoopSeconds : kAsleepLoopSeconds);
  }
  // Blocks of a file that are computed as stored are decoded anew for each token: `weights` of a place.
  double unpack_seconds(double weights, WeightPlace place) const {
    const bool blocks = form(place) == WeightForm::stored && info(stored_type(place)).weights_per_block > 1;
    return blocks ? weights / (kDecodedWeightsPerSecond * cores_) : 0;
  }
  bool blocked_vision() const {
    return form(WeightPlace::vision) != WeightForm::stored && fits_blocks(inputs_.model.vision.head_dim());
  }
  double cores() const { return cores_; }

 private:
  const CoreRates& rates() const { return rates_of(plan_.forms.isa); }

  // How most weights of a place are computed: the first layer behind the head stands for all.
  WeightForm form(WeightPlace place) const {
    const WeightChoice chosen = place == WeightPlace::vision ? plan_.forms.vision : plan_.forms.text;
    for (auto layer = inputs_.model.linears.rbegin(); layer != inputs_.model.linears.rend(); ++layer) {
      if (layer->place != place) continue;
      const WeightChoice choice = resolved(chosen, place, layer->parts.front().stored);
      const auto stored = common_type(layer->parts, &LinearFacts::Part::stored);
      return choice >= WeightChoice::q8 ? packed_form(choice, place, stored, plan_.forms.isa)
                                        : WeightForm::stored;
    }
    return WeightForm::stored;
  }

  // In which most weights of a place lie in the file.
  DType stored_type(WeightPlace place) const {
    for (auto layer = inputs_.model.linears.rbegin(); layer != inputs_.model.linears.rend(); ++layer) {
      if (layer->place == place) return layer->parts.front().stored;
    }
    return DType::f32;
  }

  // The threads in the order of usable processors: one of each core first.
  double working_cores() const {
    const auto cpus = inputs_.usable_cpus();
    const auto cores = static_cast<size_t>(inputs_.usable_cores());
    double sum = 0;
    for (size_t i = 0; i < std::min(cores, static_cast<size_t>(plan_.threads)); ++i) {
      sum += cpus[i].kind == CpuFacts::Kind::performance ? 1 : kEfficiencyCore;
    }
    return static_cast<size_t>(plan_.threads) > cores ? sum * smt_speedup(inputs_.hardware) : sum;
  }

  const PlanInputs& inputs_;
  const Plan& plan_;
  double scale_ = 1, cores_ = 1;
};

int64_t reference_patches(const ModelFacts& model) {
  const int64_t most = model.max_picture_pixels / (model.vision.patch_size * model.vision.patch_size);
  return std::min(kReferencePatches, most);
}

double start_seconds(const PlanInputs& inputs, const Plan& plan, const Engine& engine) {
  const auto packed = static_cast<double>(packed_bytes(inputs.model, plan.forms));
  if (packed == 0) return 0;
  if (plan.keep_packed) return engine.read_seconds(packed, false);
  double weights = 0;
  for (WeightPlace place : {WeightPlace::text, WeightPlace::vision}) {
    if (is_quantised(inputs.model, plan.forms, place))
      weights += static_cast<double>(inputs.model.weights(place));
  }
  return static_cast<double>(inputs.model.file_bytes) / kDiskBytesPerSecond +
         weights / (kPackedWeightsPerSecond * engine.cores());
}

double decode_seconds(const PlanInputs& inputs, const Plan& plan, const Engine& engine) {
  const TextConfig& text = inputs.model.text;
  const auto weights = static_cast<double>(inputs.model.weights(WeightPlace::text));
  const auto bytes = static_cast<double>(decode_bytes(inputs.model, plan.forms));
  const auto kv = static_cast<double>(kv_bytes(text, plan.forms.kv, kMeanReferenceKeys));
  const double products = engine.unpack_seconds(weights, WeightPlace::text) +
                          std::max(engine.product_seconds(2 * weights, WeightPlace::text),
                                   engine.read_seconds(bytes, plan.huge_weights));
  const double attention = std::max(
      engine.attention_seconds(attention_work(text, kMeanReferenceKeys), plan.forms.kv != KvForm::f32),
      engine.read_seconds(kv, plan.huge_pages));
  return products + attention +
         engine.loop_seconds(kLoopsPerLayer * static_cast<double>(text.num_hidden_layers));
}

double vision_seconds(const Engine& engine, const VisionWork& work) {
  return kRest * (engine.product_seconds(work.linear, WeightPlace::vision) +
                  engine.attention_seconds(work.attention, engine.blocked_vision()));
}

}  // namespace

double int8_gop_s_per_core(const HardwareFacts& hardware, Isa isa) {
  const auto measured = hardware.measured.int8_gop_s.find(isa);
  if (measured == hardware.measured.int8_gop_s.end()) return fastest_int8(rates_of(isa));
  return measured->second / hardware.cores();
}

double read_gb_s(const HardwareFacts& hardware) {
  return hardware.measured.read_gb_s.value_or(kAssumedReadGbS);
}

double smt_speedup(const HardwareFacts& hardware) {
  return hardware.measured.smt_speedup.value_or(kAssumedSmtSpeedup);
}

double StageTimes::request() const {
  return vision + prefill + static_cast<double>(kReferenceAnswerTokens) * decode_token;
}

double prefill_token_seconds(const PlanInputs& inputs, const Plan& plan) {
  const Engine engine(inputs, plan);
  const TextConfig& text = inputs.model.text;
  return kRest * (engine.product_seconds(2 * layer_weights(text), WeightPlace::text) +
                  engine.attention_seconds(attention_work(text, kReferencePromptTokens / 2),
                                           plan.forms.kv != KvForm::f32));
}

double vision_block_seconds(const PlanInputs& inputs, const Plan& plan, int64_t patches) {
  return vision_seconds(Engine(inputs, plan), vision_work(inputs.model.vision, patches)) /
         static_cast<double>(std::max<int64_t>(inputs.model.vision.depth, 1));
}

StageTimes predict_times(const PlanInputs& inputs, const Plan& plan) {
  const Engine engine(inputs, plan);
  StageTimes times{
      .start = start_seconds(inputs, plan, engine),
      .prefill = static_cast<double>(kReferencePromptTokens) * prefill_token_seconds(inputs, plan),
      .decode_token = decode_seconds(inputs, plan, engine)};
  if (inputs.model.has_vision) {
    times.vision = vision_seconds(engine, vision_work(inputs.model.vision, reference_patches(inputs.model)));
  }
  return times;
}

}  // namespace qvl
