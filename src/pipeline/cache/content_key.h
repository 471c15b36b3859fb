// What tells results apart that are kept: a hash of everything they were computed from.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace qvl {

/// 128 bits of XXH3: equal keys mean equal contents. Not made against somebody who looks for collisions: who
/// may write the cache folder may write anything into it.
struct ContentKey {
  uint64_t high = 0, low = 0;
  auto operator<=>(const ContentKey&) const = default;
  /// 32 hexadecimal digits.
  std::string text() const;
};

ContentKey key_of(std::span<const std::byte> bytes);
ContentKey key_of(std::string_view text);

/// key_of() bytes that come one part after another, however they are parted. Thread-compatible.
class ContentHasher {
 public:
  ContentHasher();
  void add(std::span<const std::byte> bytes);
  /// Of all that was added.
  ContentKey key() const;

 private:
  struct FreeState {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, FreeState> state_;
};

/// The key whose text() this is, if any.
std::optional<ContentKey> key_from(std::string_view digits);

/// A checksum of contents that are to be found undamaged again.
uint64_t checksum_of(std::span<const std::byte> bytes);

}  // namespace qvl
