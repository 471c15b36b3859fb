// Made-up requests for simulations of the scheduler: bursts, classes, clients, cancels and failures from a
// seed.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include "scheduler/request.h"

namespace qvl::scheduling {

/// The same numbers on every machine: the distributions of the standard library differ.
class SeededNumbers {
 public:
  explicit SeededNumbers(uint64_t seed) : bits_(seed) {}
  /// Evenly from [least, most].
  uint64_t between(uint64_t least, uint64_t most) { return least + bits_() % (most - least + 1); }
  bool one_in(uint64_t count) { return bits_() % count == 0; }
  /// `value`, up to `permille` more or less.
  int64_t noisy(int64_t value, int64_t permille) {
    return value +
           value * (static_cast<int64_t>(between(0, static_cast<uint64_t>(2 * permille))) - permille) / 1000;
  }

 private:
  std::mt19937_64 bits_;
};

struct Scenario {
  uint64_t seed = 1;
  uint32_t requests = 10'000;
  uint32_t clients = 6;
  uint32_t longest_burst = 40;    ///< requests that arrive together
  int64_t mean_gap_us = 200'000;  ///< a request; a burst has all the gaps of its requests before it
  uint32_t longest_text = 200;    ///< tokens of a prompt without pictures
  uint32_t long_answers_in = 4;   ///< one in so many answers is long
  uint32_t cancels_in = 20;       ///< one in so many is cancelled at some time
  uint32_t failures_in = 40;      ///< one in so many fails in one of its steps
  uint32_t deadlines_in = 0;      ///< one in so many has a deadline within a minute; 0: none
  enum class Deadlines { told, kept_secret } deadlines = Deadlines::told;
  Amounts largest = {.compute = 500, .memory = 300, .io = 2, .gpu_memory = 60};  ///< what one holds
};

struct SimulatedRequest {
  Request request;       ///< as it arrives: without pictures, its work is an estimate
  Request true_request;  ///< as it is known once prepared
  int64_t arrives_us = 0;
  int64_t prepare_us = 0;
  std::optional<int64_t> due_us{};  ///< whether the scheduler is told or not
  std::optional<int64_t> cancelled_us{};
  std::optional<uint32_t> fails_in_step{};  ///< of those that serve it, from 0
};

/// Requests of every kind: short questions with long answers, pictures with short ones, and anything between.
inline SimulatedRequest make_request(const Scenario& scenario, RequestId id, SeededNumbers& numbers) {
  Request request{.id = id, .client = numbers.between(0, scenario.clients - 1)};
  // The higher a client's number, the longer its requests: fairness must not depend on it.
  const uint64_t length = 1 + request.client;
  request.request_class = static_cast<RequestClass>(numbers.between(0, 2));
  request.holds = {.compute = numbers.between(0, scenario.largest.compute),
                   .memory = numbers.between(1, scenario.largest.memory),
                   .io = numbers.between(0, scenario.largest.io),
                   .gpu_memory = numbers.between(0, scenario.largest.gpu_memory)};
  Work& work = request.work;
  work.prompt_tokens = static_cast<uint32_t>(numbers.between(1, 40 * length));
  work.answer_tokens = static_cast<uint32_t>(numbers.between(0, 6));
  if (numbers.one_in(scenario.long_answers_in)) {
    work.answer_tokens = static_cast<uint32_t>(numbers.between(20, 20 + 20 * length));
  } else if (numbers.one_in(2)) {
    work.prepare_units = static_cast<uint32_t>(numbers.between(1, 4));
    work.vision_steps = static_cast<uint32_t>(numbers.between(1, 4 * length));
    work.prompt_tokens += static_cast<uint32_t>(numbers.between(64, 256));
  } else {
    work.prompt_tokens += static_cast<uint32_t>(numbers.between(0, scenario.longest_text));
  }
  SimulatedRequest out;
  out.request = out.true_request = request;
  if (work.prepare_units > 0) {
    out.request.work = {.prepare_units = work.prepare_units,
                        .vision_steps = 8,
                        .prompt_tokens = 100,
                        .answer_tokens = work.answer_tokens};
    out.prepare_us = static_cast<int64_t>(work.prepare_units * numbers.between(2'000, 30'000));
  }
  return out;
}

inline std::vector<SimulatedRequest> make_requests(const Scenario& scenario, SeededNumbers& numbers) {
  std::vector<SimulatedRequest> out;
  int64_t now_us = 0;
  while (out.size() < scenario.requests) {
    const uint64_t burst = numbers.between(1, scenario.longest_burst);
    now_us += numbers.noisy(scenario.mean_gap_us * static_cast<int64_t>(burst), 1000);
    for (uint64_t i = 0; i < burst && out.size() < scenario.requests; ++i) {
      SimulatedRequest request = make_request(scenario, out.size(), numbers);
      request.arrives_us = now_us;
      if (scenario.deadlines_in > 0 && numbers.one_in(scenario.deadlines_in)) {
        request.due_us = now_us + static_cast<int64_t>(numbers.between(1'000'000, 60'000'000));
        if (scenario.deadlines == Scenario::Deadlines::told) request.request.due_us = request.due_us;
      }
      if (numbers.one_in(scenario.cancels_in)) {
        request.cancelled_us = now_us + static_cast<int64_t>(numbers.between(0, 20'000'000));
      }
      if (numbers.one_in(scenario.failures_in)) {
        request.fails_in_step = static_cast<uint32_t>(numbers.between(0, 20));
      }
      out.push_back(request);
    }
  }
  return out;
}

}  // namespace qvl::scheduling
