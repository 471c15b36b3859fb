#include "profiler/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::IsEmpty;

std::vector<NetworkCounters> counters(const std::string& lines) {
  FakeSystem system;
  system.write("/proc/net/dev",
               "Inter-|   Receive                                                |  Transmit\n"
               " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n" +
                   lines);
  return read_network_counters(system.files());
}

TEST(Network, has_every_interface_but_the_loopback) {
  const auto found = counters(
      "    lo: 5000 50 0 0 0 0 0 0 5000 50 0 0 0 0 0 0\n"
      "  eth0: 123456 99 0 0 0 0 0 0 654321 88 0 0 0 0 0 0\n"
      "wlp2s0:18446744073709551615 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n");
  ASSERT_EQ(found.size(), 2);
  EXPECT_EQ(found[0].name, "eth0");
  EXPECT_EQ(found[0].received_bytes, 123456U);
  EXPECT_EQ(found[0].sent_bytes, 654321U);
  EXPECT_EQ(found[1].name, "wlp2s0");
  EXPECT_EQ(found[1].received_bytes, UINT64_MAX);
}

TEST(Network, has_loads_of_interfaces_that_stayed) {
  const auto before = counters("eth0: 1000 0 0 0 0 0 0 0 500 0\nusb0: 1 0 0 0 0 0 0 0 1 0\n");
  const auto after = counters("eth0: 3000 0 0 0 0 0 0 0 400 0\nwlan0: 9 0 0 0 0 0 0 0 9 0\n");
  const auto loads = network_loads(before, after, 4.0);
  ASSERT_EQ(loads.size(), 1);
  EXPECT_EQ(loads[0].name, "eth0");
  EXPECT_EQ(loads[0].received_bytes_per_s, 500.0);
  EXPECT_EQ(loads[0].sent_bytes_per_s, std::nullopt);
}

TEST(Network, leaves_out_what_is_damaged_and_keeps_to_64_interfaces) {
  EXPECT_THAT(counters("eth0 5 5\neth1: x 0 0 0 0 0 0 0 1\neth2: 1 2 3\n"), IsEmpty());
  EXPECT_THAT(read_network_counters(FakeSystem().files()), IsEmpty());
  std::string many;
  for (int i = 0; i < 100; ++i) many += "veth" + std::to_string(i) + ": 1 0 0 0 0 0 0 0 1 0\n";
  EXPECT_EQ(counters(many).size(), 64);
}

}  // namespace
}  // namespace qvl
