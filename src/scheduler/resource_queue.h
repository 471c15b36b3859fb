// Resources for applications of their own: asked for, granted in an algorithm's order, given back.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/json.h"
#include "scheduler/policy.h"
#include "scheduler/resources.h"

namespace qvl::scheduling {

struct ResourceQueueOptions {
  Amounts capacities{};
  int reservation_permille = 700;  ///< of the capacities that may be granted together, 1 to 1000
  Algorithm algorithm = Algorithm::round_robin;
  Scheduling scheduling = Scheduling::enabled;
  size_t max_waiting = 1024;  ///< requests of all kinds together, >= 1
};

struct ResourceGrant {
  uint64_t ticket;
  Resource resource;
  uint64_t amount;
};

struct ResourceUsage {
  uint64_t held;
  uint64_t limit;  ///< what may be held together
  uint64_t capacity;
  size_t waiting;  ///< requests of this kind
};

struct ResourceQueueStatus {
  std::array<ResourceUsage, kResources.size()> usage{};  ///< in the order of kResources
  int reservation_permille = 0;
  Algorithm algorithm = Algorithm::round_robin;
};

/// Requests of one kind each wait in a queue for their kind. Within a kind no request passes another that
/// goes before it, so one that does not fit is never starved by smaller ones. Thread-safe; no call waits.
///
/// - round_robin: the kinds take turns; within a kind it is the order of arrival.
/// - priority: the highest priority of all kinds that fits, then the order of arrival. Each kAgeing grants
///   to others of its kind count as one priority more, so none starves.
/// - load_balanced: the kind of which the smallest share is held; within it the order of arrival.
class ResourceQueue {
 public:
  static constexpr int kMostPriority = 9;
  static constexpr uint64_t kAgeing = 8;

  /// Throws Error{usage} for a share out of its range.
  explicit ResourceQueue(const ResourceQueueOptions& options);

  /// Asks for `amount` of the resource named `kind`, 1 to its limit (to any where scheduling is disabled);
  /// `priority` is 0 to kMostPriority, the most urgent last. The ticket comes back with the grant. Throws
  /// Error{usage} that names what is out of its range, and Error{limit} where too many wait already.
  uint64_t request_resources(std::string_view kind, uint64_t amount, int priority = 0);
  /// The next grant; nothing where none fits or none waits. What is granted is held until it is released.
  std::optional<ResourceGrant> allocate_resources();
  /// Gives back 1 to all of what is held of `kind`; throws Error{usage} for anything else.
  void release_resources(std::string_view kind, uint64_t amount);
  /// Takes a request back that was not granted yet; false where there is none of that ticket.
  bool cancel(uint64_t ticket);

  ResourceQueueStatus status() const;

 private:
  struct Waiting {
    uint64_t ticket;
    uint64_t amount;
    int priority;
    uint64_t passed = 0;  // grants of its kind since it came
    uint64_t urgency() const { return static_cast<uint64_t>(priority) + passed / kAgeing; }
  };
  struct Kind {
    std::deque<Waiting> waiting;
    uint64_t last_grant = 0;  // counted over all kinds
  };
  using Place = std::deque<Waiting>::iterator;

  bool schedules() const { return options_.scheduling == Scheduling::enabled; }
  Place first_of(Resource resource);
  bool goes_before(Resource a, Resource b);
  ResourceGrant grant(Resource resource);
  Kind& kind(Resource resource) { return kinds_[static_cast<size_t>(resource)]; }
  size_t waiting() const;

  const ResourceQueueOptions options_;
  mutable std::mutex mutex_;
  Resources resources_;
  std::array<Kind, kResources.size()> kinds_;
  uint64_t tickets_ = 0, grants_ = 0;
};

/// {"resource_usage": {"memory": {"held": 10, "limit": 70, "capacity": 100}, ...},
/// "resource_reservation_ratio": 0.7,
///  "scheduling_algorithm": "round_robin", "queue_sizes": {"memory": 2, ...}}
Json to_json(const ResourceQueueStatus& status);

}  // namespace qvl::scheduling
