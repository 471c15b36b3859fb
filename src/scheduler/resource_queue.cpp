#include "scheduler/resource_queue.h"

#include <algorithm>

#include "base/error.h"

namespace qvl::scheduling {
namespace {

// What may be held where scheduling is disabled. The sums still cannot wrap.
constexpr Amounts kUnlimited = {
    .compute = UINT64_MAX, .memory = UINT64_MAX, .io = UINT64_MAX, .gpu_memory = UINT64_MAX};

Resource checked_kind(std::string_view name) {
  if (const auto resource = resource_named(name)) return *resource;
  fail(ErrorCode::usage, "resource: found \"{}\", expected compute, memory, io or gpu_memory",
       printable(name));
}

void expect_amount(uint64_t amount, uint64_t most, Resource resource, std::string_view what) {
  if (most == 0) fail(ErrorCode::usage, "amount: found {}, but no {} {}", amount, to_string(resource), what);
  if (amount >= 1 && amount <= most) return;
  fail(ErrorCode::usage, "amount: found {}, expected 1 to {} ({}: all that {})", amount, most,
       to_string(resource), what);
}

}  // namespace

ResourceQueue::ResourceQueue(const ResourceQueueOptions& options)
    : options_(options), resources_(options.capacities, options.reservation_permille) {
  QVL_CHECK(options.max_waiting >= 1);
  if (!schedules()) resources_.set_capacities(kUnlimited);
}

uint64_t ResourceQueue::request_resources(std::string_view kind_name, uint64_t amount, int priority) {
  const Resource resource = checked_kind(kind_name);
  if (priority < 0 || priority > kMostPriority) {
    fail(ErrorCode::usage, "priority: found {}, expected 0 to {}", priority, kMostPriority);
  }
  const std::lock_guard lock(mutex_);
  expect_amount(amount, resources_.limits()[resource], resource, "may be held");
  if (waiting() >= options_.max_waiting) {
    fail(ErrorCode::limit, "{} requests for resources wait already, at most {} may", waiting(),
         options_.max_waiting);
  }
  kind(resource).waiting.push_back({.ticket = ++tickets_, .amount = amount, .priority = priority});
  return tickets_;
}

std::optional<ResourceGrant> ResourceQueue::allocate_resources() {
  const std::lock_guard lock(mutex_);
  std::optional<Resource> next;
  for (Resource resource : kResources) {
    if (kind(resource).waiting.empty()) continue;
    Amounts amounts;
    amounts[resource] = first_of(resource)->amount;
    if (resources_.refusal_of(amounts)) continue;
    if (!next || goes_before(resource, *next)) next = resource;
  }
  if (!next) return std::nullopt;
  return grant(*next);
}

ResourceGrant ResourceQueue::grant(Resource resource) {
  const Place place = first_of(resource);
  const ResourceGrant granted{.ticket = place->ticket, .resource = resource, .amount = place->amount};
  kind(resource).waiting.erase(place);
  for (Waiting& other : kind(resource).waiting) ++other.passed;
  kind(resource).last_grant = ++grants_;
  Amounts amounts;
  amounts[resource] = granted.amount;
  const bool held = !resources_.reserve(amounts);
  QVL_CHECK(held);
  return granted;
}

// The first of its kind, which is not empty.
ResourceQueue::Place ResourceQueue::first_of(Resource resource) {
  auto& waiting = kind(resource).waiting;
  if (!schedules() || options_.algorithm != Algorithm::priority) return waiting.begin();
  // Of equals, max_element finds the first: the one that came first.
  return std::max_element(waiting.begin(), waiting.end(),
                          [](const Waiting& a, const Waiting& b) { return a.urgency() < b.urgency(); });
}

bool ResourceQueue::goes_before(Resource a, Resource b) {
  if (!schedules()) return first_of(a)->ticket < first_of(b)->ticket;
  switch (options_.algorithm) {
    case Algorithm::round_robin:
      return kind(a).last_grant < kind(b).last_grant;
    case Algorithm::priority: {
      const Waiting &of_a = *first_of(a), &of_b = *first_of(b);
      if (of_a.urgency() != of_b.urgency()) return of_a.urgency() > of_b.urgency();
      return of_a.ticket < of_b.ticket;
    }
    case Algorithm::load_balanced: {
      // held / limit in permille, without an overflow; a limit of what fits is not 0.
      const auto share = [this](Resource resource) {
        const double held = static_cast<double>(resources_.held()[resource]);
        return held / static_cast<double>(resources_.limits()[resource]);
      };
      return share(a) < share(b);
    }
  }
  QVL_CHECK(false);
}

void ResourceQueue::release_resources(std::string_view kind_name, uint64_t amount) {
  const Resource resource = checked_kind(kind_name);
  const std::lock_guard lock(mutex_);
  expect_amount(amount, resources_.held()[resource], resource, "is held");
  Amounts amounts;
  amounts[resource] = amount;
  resources_.release(amounts);
}

bool ResourceQueue::cancel(uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  for (Kind& kind : kinds_) {
    if (std::erase_if(kind.waiting, [ticket](const Waiting& waiting) { return waiting.ticket == ticket; }) >
        0) {
      return true;
    }
  }
  return false;
}

size_t ResourceQueue::waiting() const {
  size_t count = 0;
  for (const Kind& kind : kinds_) count += kind.waiting.size();
  return count;
}

ResourceQueueStatus ResourceQueue::status() const {
  const std::lock_guard lock(mutex_);
  ResourceQueueStatus status{.reservation_permille = options_.reservation_permille,
                             .algorithm = options_.algorithm};
  for (Resource resource : kResources) {
    const auto index = static_cast<size_t>(resource);
    status.usage[index] = {.held = resources_.held()[resource],
                           .limit = resources_.limits()[resource],
                           .capacity = options_.capacities[resource],
                           .waiting = kinds_[index].waiting.size()};
  }
  return status;
}

Json to_json(const ResourceQueueStatus& status) {
  Json usage = Json::object(), queues = Json::object();
  for (Resource resource : kResources) {
    const ResourceUsage& of = status.usage[static_cast<size_t>(resource)];
    const std::string name(to_string(resource));
    usage[name] = {{"held", of.held}, {"limit", of.limit}, {"capacity", of.capacity}};
    queues[name] = of.waiting;
  }
  return {{"resource_usage", usage},
          {"resource_reservation_ratio", status.reservation_permille / 1000.0},
          {"scheduling_algorithm", to_string(status.algorithm)},
          {"queue_sizes", queues}};
}

}  // namespace qvl::scheduling
