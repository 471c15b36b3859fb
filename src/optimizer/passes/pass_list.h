// The list of all passes. A new one is a file beside this one, its line here and in pass_list.cpp.
#pragma once

#include <vector>

#include "optimizer/pass.h"

namespace qvl {

Pass instruction_set_pass();
Pass threads_pass();
Pass smt_pass();
Pass pinning_pass();
Pass spinning_pass();
Pass duty_cycle_pass();
Pass weights_8_bit_pass();
Pass weights_4_bit_pass();
Pass vision_8_bit_pass();
Pass packed_cache_pass();
Pass huge_weights_pass();
Pass kv_16_bit_pass();
Pass kv_8_bit_pass();
Pass prefill_chunk_pass();
Pass vision_chunk_pass();
Pass huge_pages_pass();
Pass tensor_pool_pass();
Pass feature_cache_pass();
Pass prefix_cache_pass();
Pass disk_feature_cache_pass();
Pass memory_trim_pass();

/// All of them. The order means nothing.
std::vector<Pass> all_passes();

}  // namespace qvl
