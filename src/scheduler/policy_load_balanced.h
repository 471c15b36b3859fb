// The work whose bottleneck is least loaded now.
#pragma once

#include "scheduler/policy.h"

namespace qvl::scheduling {

/// Vision and prompts are bound by arithmetic, decoding by the memory's bandwidth, preparing by disks and the
/// processors that decode pictures. A request needs these one after the other, so what a policy can choose is
/// which requests are under way together.
///
/// Why a mixed load finishes sooner this way: a step that decodes reads all weights, for one sequence as for
/// eight, and a chunk of a prompt in the same pass hides behind that read or hides the read. Both halves of a
/// step are used only while there is a prompt to compute *and* a batch of decoders. In order of arrival, runs
/// of requests with pictures and short answers leave the batch empty, runs of short questions with long
/// answers leave the processors waiting for memory, and neither time comes back. This is Johnson's rule for
/// two machines in a row (Johnson 1954), decided anew at each step from what is loaded: while the bandwidth
/// is less loaded than the processors, requests go first that decode much for little computing; otherwise
/// those that compute much and decode little, which keep the processors busy while the others decode.
///
/// A batch with free places is spare bandwidth, however busy the memory looks (one sequence reads as much as
/// eight). So the bandwidth counts as loaded to the share of places that are taken, or as measured while the
/// batch is full, since another program can take it all the same.
///
/// Preparing: while disks are busier than processors, the request that needs least of them goes first.
///
/// Ageing keeps those that fit no moment from starving.
class LoadBalanced : public Policy {
 public:
  explicit LoadBalanced(uint32_t ageing) : ageing_(ageing) {}

  bool before(const Job& a, const Job& b, Slot slot, const Situation& situation) const override;
  void taken(const Job& job, Slot slot) override;

 private:
  Ageing ageing_;
};

}  // namespace qvl::scheduling
