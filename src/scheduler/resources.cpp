#include "scheduler/resources.h"

#include <utility>

#include "base/error.h"

namespace qvl::scheduling {
namespace {

// floor(amount * permille / 1000) without an overflow.
uint64_t share_of(uint64_t amount, uint64_t permille) {
  return amount / 1000 * permille + amount % 1000 * permille / 1000;
}

}  // namespace

std::string_view to_string(Resource resource) {
  switch (resource) {
    case Resource::compute:
      return "compute";
    case Resource::memory:
      return "memory";
    case Resource::io:
      return "io";
    case Resource::gpu_memory:
      return "gpu_memory";
  }
  QVL_CHECK(false);
}

std::string_view unit_of(Resource resource) {
  switch (resource) {
    case Resource::compute:
      return "permille of a processor";
    case Resource::io:
      return "operations";
    case Resource::memory:
    case Resource::gpu_memory:
      return "bytes";
  }
  QVL_CHECK(false);
}

std::optional<Resource> resource_named(std::string_view name) {
  for (Resource resource : kResources) {
    if (to_string(resource) == name) return resource;
  }
  return std::nullopt;
}

uint64_t Amounts::operator[](Resource resource) const { return const_cast<Amounts&>(*this)[resource]; }

uint64_t& Amounts::operator[](Resource resource) {
  switch (resource) {
    case Resource::compute:
      return compute;
    case Resource::memory:
      return memory;
    case Resource::io:
      return io;
    case Resource::gpu_memory:
      return gpu_memory;
  }
  QVL_CHECK(false);
}

std::string ResourceRefusal::message() const {
  return fmt::format("{}: {} {} asked, {} of {} free", to_string(resource), asked, unit_of(resource), free,
                     limit);
}

Resources::Resources(const Amounts& capacities, int reservation_permille)
    : reservation_permille_(reservation_permille) {
  if (reservation_permille < 1 || reservation_permille > 1000) {
    fail(ErrorCode::usage, "share of resources to reserve: found {} permille, expected 1 to 1000",
         reservation_permille);
  }
  set_capacities(capacities);
}

void Resources::set_capacities(const Amounts& capacities) {
  capacities_ = capacities;
  for (Resource resource : kResources) {
    limits_[resource] = share_of(capacities[resource], static_cast<uint64_t>(reservation_permille_));
  }
}

std::optional<ResourceRefusal> Resources::refusal_of(const Amounts& amounts, Bound bound) const {
  const Amounts& bounds = bound == Bound::limits ? limits_ : capacities_;
  std::optional<ResourceRefusal> first;
  for (Resource resource : kResources) {
    const uint64_t limit = bounds[resource], held = held_[resource], asked = amounts[resource];
    const uint64_t free = held < limit ? limit - held : 0;
    if (asked <= free || (first && asked <= limit)) continue;
    first = {.resource = resource, .asked = asked, .free = free, .limit = limit};
    if (!first->can_ever_fit()) break;
  }
  return first;
}

std::optional<ResourceRefusal> Resources::reserve(const Amounts& amounts, Bound bound) {
  if (auto refusal = refusal_of(amounts, bound)) return refusal;
  // No sum can wrap: each stays within its bound.
  for (Resource resource : kResources) held_[resource] += amounts[resource];
  return std::nullopt;
}

std::variant<ResourceHold, ResourceRefusal> Resources::hold(const Amounts& amounts, Bound bound) {
  if (auto refusal = reserve(amounts, bound)) return *refusal;
  return ResourceHold(*this, amounts);
}

void Resources::release(const Amounts& amounts) {
  for (Resource resource : kResources) {
    QVL_CHECK(amounts[resource] <= held_[resource]);
    held_[resource] -= amounts[resource];
  }
}

ResourceHold::ResourceHold(ResourceHold&& other) noexcept
    : resources_(std::exchange(other.resources_, nullptr)), amounts_(std::exchange(other.amounts_, {})) {}

ResourceHold& ResourceHold::operator=(ResourceHold&& other) noexcept {
  ResourceHold taken(std::move(other));
  std::swap(resources_, taken.resources_);
  std::swap(amounts_, taken.amounts_);
  return *this;
}

ResourceHold::~ResourceHold() {
  if (resources_ != nullptr) resources_->release(amounts_);
}

}  // namespace qvl::scheduling
