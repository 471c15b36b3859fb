// Pictures that are being looked at, so that requests for the same one compute it together.
#pragma once

#include <map>
#include <memory>

#include "model/vision_tower.h"
#include "pipeline/cache/feature_cache.h"

namespace qvl {

/// A picture on its way through the tower. Whoever of its requests has the turn computes the next block.
struct VisionTask {
  VisionRun run = {};
  SharedFeatures features = nullptr;  ///< null until the last block is done
  bool lost = false;                  ///< a block failed half way: whoever goes on begins again
};

/// Thread-compatible: the engine's thread alone. Requests own the tasks: one that nobody needs any more is
/// gone.
class VisionTasks {
 public:
  /// Null where nobody is at it.
  std::shared_ptr<VisionTask> find(const ContentKey& key) const {
    const auto found = tasks_.find(key);
    auto task = found == tasks_.end() ? nullptr : found->second.lock();
    return task && !task->lost ? task : nullptr;
  }
  void add(const ContentKey& key, const std::shared_ptr<VisionTask>& task) {
    std::erase_if(tasks_, [](const auto& entry) { return entry.second.expired(); });
    tasks_[key] = task;
  }

 private:
  std::map<ContentKey, std::weak_ptr<VisionTask>> tasks_;
};

}  // namespace qvl
