#include "profiler/network.h"

#include <algorithm>

#include "base/error.h"
#include "profiler/counter.h"
#include "profiler/fields.h"

namespace qvl {
namespace {

constexpr size_t kMostInterfaces = 64;

// "  eth0: bytes packets errs drop fifo frame compressed multicast bytes ...". The first number may follow
// the colon without a blank; names may hold colons themselves (aliases).
std::optional<NetworkCounters> parse_line(std::string_view line) {
  const size_t colon = line.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view before = line.substr(0, colon), numbers = line.substr(colon + 1);
  NetworkCounters out{.name = printable(take_word(before), 64)};
  const auto received = parse_counter(take_word(numbers));
  for (int field = 0; field < 7; ++field) take_word(numbers);
  const auto sent = parse_counter(take_word(numbers));
  if (!received || !sent) return std::nullopt;
  out.received_bytes = *received;
  out.sent_bytes = *sent;
  return out;
}

}  // namespace

std::vector<NetworkCounters> read_network_counters(const SystemFiles& files) {
  const auto text = files.read("/proc/net/dev");
  std::vector<NetworkCounters> out;
  if (!text) return out;
  for (std::string_view rest = *text; !rest.empty() && out.size() < kMostInterfaces;) {
    auto interface = parse_line(take_line(rest));
    if (interface && interface->name != "lo") out.push_back(std::move(*interface));
  }
  return out;
}

std::vector<NetworkLoad> network_loads(const std::vector<NetworkCounters>& before,
                                       const std::vector<NetworkCounters>& after, double seconds) {
  std::vector<NetworkLoad> out;
  for (const NetworkCounters& now : after) {
    const auto old =
        std::find_if(before.begin(), before.end(), [&](const auto& i) { return i.name == now.name; });
    if (old == before.end()) continue;
    out.push_back(
        {.name = now.name,
         .received_bytes_per_s = counted_per_second(old->received_bytes, now.received_bytes, seconds),
         .sent_bytes_per_s = counted_per_second(old->sent_bytes, now.sent_bytes, seconds)});
  }
  return out;
}

}  // namespace qvl
