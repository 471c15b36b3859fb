// A plan as people and programs read it. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace qvl {

/// A pass that was considered for a choice and not taken.
struct PlanAlternative {
  std::string pass = {}, value = {};  ///< no value where the pass was out of the question
  std::string reason = {};
  double saves_s = 0;  ///< seconds of the reference request, where it was predicted
  int64_t bytes = 0;   ///< of memory that it would take, less where negative
};

struct PlanChoice {
  std::string name = {}, value = {};
  std::string pass = {};  ///< that chose it; empty: none, it is the baseline or what was asked for
  std::string cause = {};
  double saves_s = 0;
  int64_t bytes = 0;
  std::vector<PlanAlternative> alternatives = {};
};

struct PlanReport {
  int64_t level = 0;
  std::vector<std::pair<std::string, std::string>> machine = {};  ///< name, value
  std::vector<PlanChoice> choices = {};
  int64_t context_tokens = 0;   ///< of all sequences together, for which memory is planned
  int64_t picture_patches = 0;  ///< of the largest picture for which memory is planned
  std::vector<std::pair<std::string, uint64_t>> memory = {};  ///< part, bytes
  uint64_t memory_bytes = 0, memory_cap_bytes = 0;
  std::vector<std::pair<std::string, double>> seconds = {};  ///< stage, seconds of the reference request
  std::vector<std::string> warnings = {};
};

enum class PlanDetail {
  values,     ///< what was chosen
  explained,  ///< and why, and what else was considered
};

/// Lines for people.
std::string to_text(const PlanReport& report, PlanDetail detail);
/// One JSON object on one line, with everything.
std::string to_json(const PlanReport& report);

}  // namespace qvl
