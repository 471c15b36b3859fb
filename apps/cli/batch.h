// qvl run --batch: many requests from a file, an answer a line.
#pragma once

#include <string>

#include "options.h"
#include "qvl/pipeline.h"

namespace qvl::cli {

struct BatchArgs {
  const ModelArgs& model;
  std::string file, output;        ///< "-": standard input; empty: standard output
  InferenceRequest defaults = {};  ///< of what lines do not say
  bool quiet = false;
};

/// The exit code: 0, or that of the first line that failed. Throws Error for what stops all lines.
int run_batch(const BatchArgs& args);

}  // namespace qvl::cli
