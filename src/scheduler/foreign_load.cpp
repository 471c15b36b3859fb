#include "scheduler/foreign_load.h"

#include <algorithm>

namespace qvl::scheduling {

int foreign_demand_permille(const CpuShares& shares) {
  const int64_t all = 1000 * int64_t{shares.cpus};
  const int64_t foreign = std::clamp<int64_t>(shares.foreign_permille, 0, all);
  const int64_t own = std::clamp<int64_t>(shares.own_permille, 0, all);
  const int64_t beside_us = std::max<int64_t>(all - 1000 * int64_t{shares.threads}, 0);
  const int64_t held_back = std::min(own, std::max<int64_t>(foreign - beside_us, 0));
  return static_cast<int>(std::min(foreign + held_back, all));
}

void ForeignLoad::update(int demand_permille, int64_t now_us) {
  const int up = (demand_permille + 300) / 1000, down = (demand_permille + 700) / 1000;
  const Trend trend = up > busy_ ? Trend::rising : down < busy_ ? Trend::falling : Trend::steady;
  if (dwell_.held(trend, now_us)) busy_ = trend == Trend::rising ? up : down;

  const Trend notice = trend_of(demand_permille, 300, 100);
  if (noticeable_dwell_.held(notice, now_us)) noticeable_ = notice == Trend::rising;
}

}  // namespace qvl::scheduling
