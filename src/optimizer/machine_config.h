// The configuration that fits a machine.
#pragma once

#include "optimizer/hardware_facts.h"
#include "qvl/system_config.h"

namespace qvl {

/// A thread that computes for each core, within the quota; no more threads for pictures than processors; a
/// pool that leaves small machines their memory. All else as by default.
SystemOptimizationConfig config_for(const HardwareFacts& hardware);

}  // namespace qvl
