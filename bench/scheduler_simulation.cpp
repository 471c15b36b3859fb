// Runs the scheduler through made-up requests under each policy, and prints the figures as JSON.
//
//   qvl_scheduler_simulation [SEED [REQUESTS]]
//
// Two scenarios: "arrivals" has bursts of requests of all kinds, clients and classes, some of them cancelled
// or failing; "mixed_load" is a full queue of which the time to the last answer counts. The figures depend on
// the arguments alone. Exits with 1 where a promise of the scheduler was broken; the figures say which.
#include <charconv>
#include <iostream>
#include <string_view>

#include "base/json.h"
#include "scheduler/simulation_testing.h"

namespace {

using namespace qvl;
using namespace qvl::scheduling;

uint64_t number(std::string_view text, uint64_t most) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value < 1 || value > most) {
    fail(ErrorCode::usage, "{}: expected a number from 1 to {}", printable(text), most);
  }
  return value;
}

Json figures(const SimulationReport& report) {
  const auto by_class = [](const std::array<int64_t, 3>& us) {
    return Json{{"interactive", us[0]}, {"normal", us[1]}, {"background", us[2]}};
  };
  const auto turns = [](const TurnFigures& of) {
    return Json{{"most_difference", of.most_difference}, {"least", of.least}, {"most", of.most}};
  };
  return {{"makespan_us", report.makespan_us},
          {"steps", report.steps},
          {"mixed_steps", report.mixed_steps},
          {"answer_tokens", report.answer_tokens},
          {"finished", report.status.finished},
          {"cancelled", report.status.cancelled},
          {"failed", report.status.failed},
          {"refused", report.status.refused},
          {"mean_response_us", by_class(report.mean_response_us)},
          {"worst_response_us", by_class(report.worst_response_us)},
          {"compute_turns", turns(report.compute_turns)},
          {"decode_turns", turns(report.decode_turns)},
          {"violations", report.violations}};
}

int simulate(uint64_t seed, uint32_t requests) {
  Json out = {{"seed", seed}, {"requests", requests}};
  bool kept = true;
  const auto run = [&](const char* name, const Scenario& scenario, const SchedulerOptions& options) {
    const SimulationReport report = Simulation(scenario, options).run();
    out[name][std::string(to_string(options.algorithm))] = figures(report);
    kept = kept && report.violations.empty();
  };
  for (Algorithm algorithm : {Algorithm::round_robin, Algorithm::priority, Algorithm::load_balanced}) {
    run("arrivals", {.seed = seed, .requests = requests}, options_for_arrivals(algorithm));
    run("mixed_load", mixed_load(seed), options_for_mixed_load(algorithm));
  }
  std::cout << out.dump(2) << "\n";
  return kept ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const uint64_t seed = argc > 1 ? number(argv[1], UINT32_MAX) : 1;
    return simulate(seed, static_cast<uint32_t>(argc > 2 ? number(argv[2], 1'000'000) : 10'000));
  } catch (const qvl::Error& error) {
    std::cerr << "qvl_scheduler_simulation: " << error.what() << "\n";
    return static_cast<int>(error.code());
  }
}
