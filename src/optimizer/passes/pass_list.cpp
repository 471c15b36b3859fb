#include "optimizer/passes/pass_list.h"

namespace qvl {

std::vector<Pass> all_passes() {
  return {instruction_set_pass(), threads_pass(),       smt_pass(),           pinning_pass(),
          spinning_pass(),        duty_cycle_pass(),    weights_8_bit_pass(), weights_4_bit_pass(),
          vision_8_bit_pass(),    packed_cache_pass(),  huge_weights_pass(),  kv_16_bit_pass(),
          kv_8_bit_pass(),        prefill_chunk_pass(), vision_chunk_pass(),  huge_pages_pass(),
          tensor_pool_pass(),     feature_cache_pass(), prefix_cache_pass(),  disk_feature_cache_pass(),
          memory_trim_pass()};
}

}  // namespace qvl
