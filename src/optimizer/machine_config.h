// The configuration that fits a machine.
#pragma once

#include "optimizer/hardware_facts.h"
#include "qvl/system_config.h"

namespace qvl {

/// A thread that computes for each core; no more threads for pictures than processors; a pool that leaves
/// small machines their memory. All else as by default. Quotas come and go, and threads follow them.
SystemOptimizationConfig config_for(const HardwareFacts& hardware);

}  // namespace qvl
