// Named resources with capacities that requests hold together, all or nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace qvl::scheduling {

/// What requests hold while they are served.
enum class Resource : uint8_t {
  compute,     ///< permille of a processor: what threads, quotas and measured loads are counted in as well
  memory,      ///< bytes
  io,          ///< operations in flight
  gpu_memory,  ///< bytes
};
inline constexpr std::array kResources = {Resource::compute, Resource::memory, Resource::io,
                                          Resource::gpu_memory};

std::string_view to_string(Resource resource);
/// What one of `resource` is called in messages: "bytes".
std::string_view unit_of(Resource resource);
/// The resource of that name; nothing for any other name.
std::optional<Resource> resource_named(std::string_view name);

/// So much of each resource.
struct Amounts {
  uint64_t compute = 0;
  uint64_t memory = 0;
  uint64_t io = 0;
  uint64_t gpu_memory = 0;

  uint64_t& operator[](Resource resource);
  uint64_t operator[](Resource resource) const;
  bool operator==(const Amounts&) const = default;
};

/// Why a reservation was not made: the first resource, in the order of kResources, that has too little; one
/// that could never have enough comes before one that is only short of it now.
struct ResourceRefusal {
  Resource resource;
  uint64_t asked;
  uint64_t free;   ///< what is left of the limit
  uint64_t limit;  ///< what may be held of it, by Bound
  bool can_ever_fit() const { return asked <= limit; }
  /// One line: "memory: 300 bytes asked, 200 of 700 free".
  std::string message() const;
};

/// How much may be held of each resource.
enum class Bound : uint8_t {
  limits,      ///< the share that requests may hold together
  capacities,  ///< all there is: for one that has nobody beside it
};

class ResourceHold;

/// The account of what is held. A reservation of several resources is made whole or not at all, under one
/// call, so that no two requests wait for each other's half. The sum of all holds stays within
/// floor(capacity * permille / 1000), but where one is held under Bound::capacities, and where a capacity has
/// shrunk below what was held already: then nothing more is granted of it until enough is released.
/// Thread-compatible.
class Resources {
 public:
  /// `reservation_permille`: the share of each capacity that requests may hold together, 1 to 1000; throws
  /// Error{usage} for any other.
  Resources(const Amounts& capacities, int reservation_permille);
  Resources(const Resources&) = delete;
  Resources& operator=(const Resources&) = delete;

  /// Why `amounts` cannot be had now; nothing where they can.
  std::optional<ResourceRefusal> refusal_of(const Amounts& amounts, Bound bound = Bound::limits) const;
  /// Takes all of `amounts`, or nothing and says why.
  [[nodiscard]] std::optional<ResourceRefusal> reserve(const Amounts& amounts, Bound bound = Bound::limits);
  /// The same as an object that releases what it holds.
  std::variant<ResourceHold, ResourceRefusal> hold(const Amounts& amounts, Bound bound = Bound::limits);
  /// Gives back part of what is held. More than is held is a bug of the caller.
  void release(const Amounts& amounts);

  void set_capacities(const Amounts& capacities);

  const Amounts& capacities() const { return capacities_; }
  const Amounts& limits() const { return limits_; }
  const Amounts& held() const { return held_; }
  int reservation_permille() const { return reservation_permille_; }

 private:
  Amounts capacities_;
  Amounts limits_;
  Amounts held_;
  int reservation_permille_;
};

/// Amounts held until the object ends. Movable; the Resources outlive it. Thread-compatible.
class ResourceHold {
 public:
  ResourceHold() = default;  ///< of nothing
  ResourceHold(ResourceHold&& other) noexcept;
  ResourceHold& operator=(ResourceHold&& other) noexcept;
  ~ResourceHold();

  const Amounts& amounts() const { return amounts_; }

 private:
  friend class Resources;
  ResourceHold(Resources& resources, const Amounts& amounts) : resources_(&resources), amounts_(amounts) {}

  Resources* resources_ = nullptr;
  Amounts amounts_;
};

}  // namespace qvl::scheduling
